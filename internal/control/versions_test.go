package control

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"mxcluster/internal/fault"
)

// A command that asks an older agent for a call or a key that it does not know names both versions
// and says what to do.
func TestCommandOfALaterVersion(t *testing.T) {
	c := start(t, &fake{})
	c.Version = "9.0.0"
	for name, ask := range map[string]func(context.Context) error{
		"a call": func(ctx context.Context) error {
			_, err := call[struct{}](ctx, c, http.MethodGet, "/v1/later", nil, readWait)
			return err
		},
		"a key": func(ctx context.Context) error {
			_, err := inquire[struct{}](ctx, c, "/v1/events", struct {
				Later int `json:"later"`
			}{1}, readWait)
			return err
		},
	} {
		err := ask(t.Context())
		if err == nil || !strings.Contains(err.Error(), "does not know all that this command, of version 9.0.0, asks for") || !strings.Contains(err.Error(), "the agent, of version 1.0.0, ") {
			t.Errorf("%s: %v", name, err)
		}
		if hint := fault.HintOf(err); !strings.Contains(hint, "systemctl restart mxcluster-agent") {
			t.Errorf("%s: hint %q", name, hint)
		}
	}
}

// An agent of a later version says more than a command of this one knows; that is passed over.
func TestAgentOfALaterVersion(t *testing.T) {
	v, err := parse[AgentInfo](&http.Response{StatusCode: http.StatusOK}, []byte(`{"server":"srv1","version":"9.0.0","later":{"x":[1]},"levels":{"document":9,"later":1}}`))
	if err != nil || v.Server != "srv1" || v.Version != "9.0.0" || v.Levels.Document != 9 {
		t.Errorf("read %+v, %v", v, err)
	}
}
