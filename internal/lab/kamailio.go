//go:build linux

package lab

import (
	"context"
	_ "embed" // for the program that a service of the lab is
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// kamailioPort is the UDP port on which kamailio answers in the lab.
const kamailioPort = 5070

//go:embed kamailio.sh
var kamailioScript []byte

// kamailioMissing names what is missing on this machine to run kamailio as a service; "": nothing.
func kamailioMissing() string {
	for _, program := range []string{"kamailio", "kamcmd"} {
		if _, err := exec.LookPath(program); err != nil {
			return program
		}
	}
	if _, err := os.Stat("/usr/share/kamailio/dbtext/kamailio/location"); err != nil {
		return "kamailio's db_text"
	}
	return ""
}

// addKamailio makes kamailio a service of LIM 1, and waits for it on srv1.
func (d *demo) addKamailio(ctx context.Context) error {
	if kamailioMissing() != "" {
		return nil // the lab works without it
	}
	script, err := d.installKamailio()
	if err != nil {
		return err
	}
	if d.sip, err = d.connectSIP(); err != nil {
		return err
	}
	d.say("kamailio is installed: LIM 1 is a SIP server, too")
	exchange := filepath.Join(d.Dir, "exchange")
	if err := d.mx(ctx, d.srv1, "lim", "set", "1", "--service", "exec:"+exchange, "--service", "exec:"+script); err != nil {
		return err
	}
	// LIM 1 runs: the agent starts the added service.
	return d.sip.await(ctx, d.srv1.base.Addr(), "srv1")
}

// awaitSIP waits for LIM 1's SIP server to answer from a server, if it has one.
func (d *demo) awaitSIP(ctx context.Context, server string) error {
	if d.sip == nil {
		return nil
	}
	if err := d.sip.await(ctx, labAddress(11).Addr(), server); err != nil {
		return err
	}
	d.say("OPTIONS sip:lim@%s: 200 from %s", labAddress(11).Addr(), server)
	return nil
}

// installKamailio writes the program that runs a SIP server as a LIM's service.
func (l *Lab) installKamailio() (path string, err error) {
	path = filepath.Join(l.Dir, "kamailio")
	if err := os.WriteFile(path, kamailioScript, 0o700); err != nil {
		return "", fmt.Errorf("installing kamailio as a service: %w", err)
	}
	return path, nil
}
