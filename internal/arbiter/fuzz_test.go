package arbiter

import (
	"encoding/json"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// FuzzRead reads any value as a LIM's key: a key that is there has a holder, whoever wrote it.
func FuzzRead(f *testing.F) {
	f.Add([]byte("maintenance"))
	f.Add([]byte(`{"server":"srv1","term":7,"since":"2026-12-02T10:00:00Z","later":[1]}`))
	f.Add([]byte(`{"server":"","term":-1}`))
	if own, err := json.Marshal(Key{Server: "srv1", Term: 7, Since: time.Date(2026, 12, 2, 10, 0, 0, 0, time.UTC)}); err == nil {
		f.Add(own)
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		if k := read(&mvccpb.KeyValue{Value: value, Lease: 9}); k.Server == "" || k.Lease != 9 {
			t.Errorf("%q is %+v", value, k)
		}
	})
}
