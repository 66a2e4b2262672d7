package xdata

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/xdata/internal/wire"
)

func greetingOf(version int) []byte {
	return fmt.Appendf(nil, `{"magic":"mxcluster-xdata","version":%d}`, version)
}

// Text after the greeting is named, too: something in the background there prints.
func TestNoiseInTheData(t *testing.T) {
	hello := message(wire.FrameGreeting, string(greetingOf(wire.Spoken.Newest)))
	for _, noise := range []string{"You have mail.\n", "\nYou have mail.\n", "\r\nYou have mail.\r\n"} {
		_, err := Sync(context.Background(), newStore(t), recorded{strings.NewReader(hello + noise)}, Request{LIM: 1, Side: clusterconf.SideRegular})
		wantCode(t, err, fault.Failed, "You have mail.")
	}
}
