//go:build linux

package lab

import (
	_ "embed" // for the program that a service of the lab is
	"fmt"
	"os"
	"path/filepath"
)

// kamailioPort is the UDP port on which kamailio answers in the lab.
const kamailioPort = 5070

//go:embed kamailio.sh
var kamailioScript []byte

// installKamailio writes the program that makes a SIP server a LIM's service.
func (l *Lab) installKamailio() (path string, err error) {
	path = filepath.Join(l.Dir, "kamailio")
	if err := os.WriteFile(path, kamailioScript, 0o700); err != nil {
		return "", fmt.Errorf("installing kamailio as a service: %w", err)
	}
	return path, nil
}
