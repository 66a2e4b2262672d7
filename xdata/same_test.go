package xdata

import (
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"mxcluster/clusterconf"
)

// counted is a connection that counts what is read from it.
type counted struct {
	Conn
	read int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.read += int64(n)
	return n, err
}

// A receiver that has the version before does not name its chunks to a sender that has
// it, too; whatever else it has, it names.
func TestListIsNotSent(t *testing.T) {
	const size = 8 << 20 // some 1,500 chunks, whose list takes 12 KB
	before := fileTree{"dump": noise(1, size)}
	maps.Copy(before, sample)
	after := maps.Clone(before)
	after["dump"] = before["dump"][:size/2] + noise(2, 1<<20) + before["dump"][size/2:]
	for name, tt := range map[string]struct {
		prepare func(t *testing.T, p pair)
		list    bool  // it is sent
		sent    int64 // bytes at most
	}{
		"on both sides": {prepare: func(*testing.T, pair) {}, sent: 1200 << 10},
		"index is gone here": {prepare: func(t *testing.T, p pair) {
			must(t, os.Remove(p[clusterconf.SideRegular].indexes().path("xdata_1_20260228000000")))
		}, list: true, sent: 1200 << 10},
		"index is gone there": {prepare: func(t *testing.T, p pair) {
			must(t, os.Remove(p[clusterconf.SideStandby].indexes().path("xdata_1_20260228000000")))
		}, sent: 1200 << 10},
		"not the same": {prepare: func(t *testing.T, p pair) {
			dir := filepath.Join(p[clusterconf.SideStandby].Dir, "xdata_1_20260228000000")
			must(t, os.RemoveAll(dir))
			other := maps.Clone(before)
			other["dump"] = other["dump"][1<<20:]
			other.write(t, dir, baseTime.Add(-time.Hour))
		}, list: true, sent: 2300 << 10},
		"and what arrived": {prepare: func(t *testing.T, p pair) {
			fileTree{"dump": noise(2, 1<<20)}.write(t, filepath.Join(p[clusterconf.SideStandby].Dir, partialPrefix(1)+"x"), baseTime)
		}, sent: 100 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			foreign(t, p[clusterconf.SideRegular], "xdata_1_20260228000000", before, baseTime.Add(-time.Hour))
			must(t, os.MkdirAll(p[clusterconf.SideStandby].Dir, 0o755))
			_, err := p.syncFrom(t, clusterconf.SideRegular, DirectionAuto)
			must(t, err)
			tt.prepare(t, p)
			foreign(t, p[clusterconf.SideRegular], "xdata_1_20260301000000", after, baseTime)
			end := peer(t, p[clusterconf.SideStandby], ServeOptions{})
			defer end.end(t)
			conn := &counted{Conn: end}
			res, err := Sync(t.Context(), p[clusterconf.SideRegular], conn, Request{LIM: 1, Side: clusterconf.SideRegular})
			must(t, err)
			if list := conn.read > 10_000; list != tt.list {
				t.Errorf("%d bytes were read from the receiver", conn.read)
			}
			if res.Result != Copied || res.SentBytes > tt.sent {
				t.Errorf("%s, %d bytes sent, %d expected at most", res.Result, res.SentBytes, tt.sent)
			}
			checkAlike(t, p)
		})
	}
}
