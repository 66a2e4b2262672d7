package settings

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"mxcluster/internal/fault"
)

func TestArbiterEndpoints(t *testing.T) {
	want := []string{"https://10.0.0.51:2379", "https://[2001:db8::1]:2379"}
	for name, yaml := range map[string]string{
		"list":   "arbiter:\n  etcd:\n    endpoints:\n    - https://10.0.0.51:2379\n    - https://[2001:db8::1]:2379/\n",
		"inline": "arbiter.etcd.endpoints: [https://10.0.0.51:2379, 'https://[2001:db8::1]:2379']\n",
		"commas": "arbiter: {etcd.endpoints: 'https://10.0.0.51:2379, https://[2001:db8::1]:2379'}\n",
	} {
		s, err := Load(instance(t, yaml), nil)
		if err != nil || !s.Arbiter.On() {
			t.Fatalf("%s: %+v, %v", name, s, err)
		}
		if diff := cmp.Diff(want, s.Arbiter.List()); diff != "" {
			t.Errorf("%s: endpoints differ (-want +got):\n%s", name, diff)
		}
	}
	if s, err := Load(instance(t, "arbiter.lease: 10s\n"), nil); err != nil || s.Arbiter.On() {
		t.Errorf("without endpoints there is no arbiter: %+v, %v", s, err)
	}
}

func TestArbiterRefuses(t *testing.T) {
	tests := []struct{ name, yaml, message, hint string }{
		{"unknown", "arbiter:\n  etcd:\n    endpoint: http://a:1\n", ":3: unknown setting arbiter.etcd.endpoint", "did you mean arbiter.etcd.endpoints?"},
		{"no port", "arbiter.etcd.endpoints: https://etcd1\n", `:1: arbiter.etcd.endpoints: "https://etcd1" is no URL`, "https://10.0.0.51:2379"},
		{"no scheme", "arbiter.etcd.endpoints: etcd1:2379\n", "is no URL with a host and a port", "https://"},
		{"password in it", "arbiter.etcd.endpoints: http://u:p@etcd1:2379\n", "has more than a host and a port", "https://"},
		{"a mixture", "arbiter.etcd.endpoints: [http://a:1, https://b:1]\n", "some of them are http, some https", "https://"},
		{"nested list", "arbiter.etcd.endpoints:\n- [a]\n", ":2: arbiter.etcd.endpoints is a list of plain values", "each dash"},
		{"lease too short", "arbiter.lease: 1s\n", ":1: arbiter.lease: 1s is not between 2s and 1m", "whole seconds"},
		{"lease not whole", "arbiter.lease: 2500ms\n", ":1: arbiter.lease: 2500ms is not a whole number", "whole seconds"},
		{"relative file", "arbiter.etcd.ca: ca.pem\n", `"ca.pem" is not a full path`, "full path"},
		{"cert alone", "\narbiter.etcd.cert: /c\n", ":2: arbiter.etcd.cert is set without arbiter.etcd.key", "both"},
		{"key alone", "arbiter.etcd.key: /k\n", ":1: arbiter.etcd.key is set without arbiter.etcd.cert", "both"},
		{"user alone", "arbiter.etcd.user: u\n", "arbiter.etcd.user is set without arbiter.etcd.password_file", "both"},
		{"empty prefix", "arbiter.etcd.prefix: /\n", ":1: arbiter.etcd.prefix: is empty", "/mxcluster"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Load(instance(t, tt.yaml), nil)
			wantFault(t, err, fault.Invalid, tt.message, tt.hint)
		})
	}
}
