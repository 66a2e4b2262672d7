package xdata

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"testing"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/xdata/internal/wire"
)

// greetsAs has a server greet as another version would. What it is asked to open is returned in
// asked.
func greetsAs(t *testing.T, server Conn, hello string, asked chan<- wire.OpenRequest) Conn {
	t.Helper()
	ours, middle := net.Pipe()
	there, client := wire.NewLink(server, server), wire.NewLink(middle, middle)
	go func() {
		defer middle.Close()
		if _, err := there.Expect(wire.FrameGreeting); err != nil {
			return
		}
		if _, err := io.WriteString(middle, message(wire.FrameGreeting, hello)); err != nil {
			return
		}
		_, _ = io.Copy(middle, there.R) // either side ends it
	}()
	go func() {
		defer server.Close()
		for range 2 {
			kind, payload, err := client.Next()
			if err != nil {
				return
			}
			var open wire.OpenRequest
			if kind == wire.FrameOpen && json.Unmarshal(payload, &open) == nil {
				asked <- open
			}
			if _, err := io.WriteString(server, message(kind, string(payload))); err != nil {
				return
			}
		}
		_, _ = io.Copy(server, client.R)
	}()
	return ours
}

// A server of this version synchronises with one that tells no newest version, and with one that
// knows a newer one, in the version that both know.
func TestSyncWithOtherVersions(t *testing.T) {
	for name, hello := range map[string]string{
		"one that does not negotiate": `{"magic":"mxcluster-xdata","version":7,"sign":""}`,
		"a newer one":                 `{"magic":"mxcluster-xdata","version":7,"newest":8,"sign":"","later":{"a":[1]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			bothSides(t, func(t *testing.T, asks clusterconf.Side) {
				p := newPair(t)
				foreign(t, p[clusterconf.SideRegular], "xdata_1_20260301000000", sample, baseTime)
				other, asked := peer(t, p[asks.Other()], ServeOptions{}), make(chan wire.OpenRequest, 1)
				conn := greetsAs(t, other, hello, asked)
				res, err := Sync(context.Background(), p[asks], conn, Request{LIM: 1, Side: asks})
				must(t, err)
				must(t, conn.Close())
				if res.Result != Copied {
					t.Errorf("the sync ended as %s", res.Result)
				}
				if open := <-asked; open.Protocol != 7 {
					t.Errorf("it is asked in version %d", open.Protocol)
				}
			})
		})
	}
}

// Two servers that have no version in common leave everything as it is, and say which one to
// upgrade.
func TestSyncWithoutACommonVersion(t *testing.T) {
	for hello, want := range map[string]struct{ text, hint string }{
		`{"magic":"mxcluster-xdata","version":6}`:            {"it speaks version 6 of the protocol of syncs, this server version 7", "upgrade mxcluster on the other server, then synchronise again"},
		`{"magic":"mxcluster-xdata","version":8,"newest":9}`: {"it speaks versions 8 to 9 of the protocol of syncs, this server version 7", "upgrade mxcluster on this server, then synchronise again"},
	} {
		p := newPair(t)
		foreign(t, p[clusterconf.SideRegular], "xdata_1_20260301000000", sample, baseTime)
		other := peer(t, p[clusterconf.SideStandby], ServeOptions{})
		conn := greetsAs(t, other, hello, make(chan wire.OpenRequest, 1))
		res, err := Sync(context.Background(), p[clusterconf.SideRegular], conn, Request{LIM: 1, Side: clusterconf.SideRegular})
		wantCode(t, err, fault.Refused, want.text)
		if hint := fault.HintOf(err); hint != want.hint {
			t.Errorf("hint %q, want %q", hint, want.hint)
		}
		if res.Result != Refused {
			t.Errorf("the sync ended as %s", res.Result)
		}
		other.end(t)
		if versions, leftovers := visible(t, p[clusterconf.SideStandby]); versions != nil || leftovers != nil {
			t.Errorf("left %q %q", versions, leftovers)
		}
	}
}

// A client that asks for a version that was not offered is told both.
func TestServeRefusesAVersionThatItDoesNotSpeak(t *testing.T) {
	for _, asked := range []int{6, 8} {
		conn := peer(t, newStore(t), ServeOptions{})
		l := wire.NewLink(conn, conn)
		_, err := l.Expect(wire.FrameGreeting)
		must(t, err)
		must(t, l.Send(wire.FrameOpen, wire.OpenRequest{LIM: 1, Side: clusterconf.SideStandby, Protocol: asked}))
		_, err = l.Expect(wire.FrameOpen)
		wantCode(t, err, fault.Refused, "of the protocol of syncs, this one version 7")
	}
}
