package clusterconf

import (
	"slices"
	"strings"
	"testing"
)

func TestCalled(t *testing.T) {
	for _, tt := range []struct{ servers, host, want string }{
		{"srv1 sb1", "srv1", "srv1"},
		{"srv1 sb1", "srv1.example.com", "srv1"},
		{"srv1 sb1", "SRV1", "srv1"},
		{"srv1 sb1", "Srv1.Example.COM", "srv1"},
		{"srv1.example.com sb1", "srv1", "srv1.example.com"},
		{"srv1.example.com sb1", "SRV1.EXAMPLE.com", "srv1.example.com"},
		{"srv1.example.com sb1", "srv1.example.org", ""},
		{"srv1.a srv1.b", "srv1", "srv1.a srv1.b"},
		{"srv1.a srv1.b", "srv1.b", "srv1.b"},
		{"srv1.a srv1.b", "SRV1.B", "srv1.b"},
		{"srv1 srv1.a", "srv1.b", "srv1"},
		{"srv1 srv1.a", "srv1.A", "srv1.a"},
		{"srv1 SRV1", "srv1", "srv1"},
		{"srv1 SRV1", "Srv1", "srv1 SRV1"},
		{"srv1 sb1", "srv11", ""},
		{"srv1 sb1", "", ""},
		{"srv1 sb1", ".example.com", ""},
		{"srv1 sb1", "localhost", ""},
	} {
		var d Document
		for _, name := range strings.Fields(tt.servers) {
			d.Servers = append(d.Servers, Server{Name: name})
		}
		if got := d.Called(tt.host); !slices.Equal(got, strings.Fields(tt.want)) {
			t.Errorf("%s among %s: %q, want %q", tt.host, tt.servers, got, tt.want)
		}
	}
}
