package fault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"testing"
)

func TestExitCodesAreTheContracts(t *testing.T) {
	for code, want := range map[Code]int{
		OK: 0, Failed: 1, Refused: 3, NotFound: 4, Unreachable: 5, Busy: 6, Conflict: 7, Unknown: 8,
		Usage: 64, NotPermitted: 77, Invalid: 78, Interrupted: 130,
	} {
		if int(code) != want {
			t.Errorf("code %d, want %d", code, want)
		}
	}
}

func TestCodeOf(t *testing.T) {
	_, notThere := os.Open("no/such/file")
	tests := []struct {
		name string
		err  error
		want Code
	}{
		{"nil", nil, OK},
		{"plain", errors.New("x"), Failed},
		{"coded", New(Refused, "", "x"), Refused},
		{"coded inside", fmt.Errorf("doing: %w", New(Busy, "", "x")), Busy},
		{"the outermost counts", Wrap(New(Busy, "", "x"), Invalid, "", "y"), Invalid},
		{"before a known cause", Wrap(context.Canceled, Unreachable, "", "y"), Unreachable},
		{"joined", errors.Join(errors.New("x"), New(NotFound, "", "y"), New(Busy, "", "z")), NotFound},
		{"no code of its own", &Error{Message: "x"}, Failed},
		{"no code, known cause", &Error{Err: fs.ErrPermission}, NotPermitted},
		{"cancelled", fmt.Errorf("x: %w", context.Canceled), Interrupted},
		{"too late", fmt.Errorf("x: %w", context.DeadlineExceeded), Unknown},
		{"not permitted", &fs.PathError{Op: "open", Path: "/x", Err: os.ErrPermission}, NotPermitted},
		{"no such file is not the contract's not found", notThere, Failed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := CodeOf(tt.err); got != tt.want {
				t.Errorf("CodeOf(%v) = %d, want %d", tt.err, got, tt.want)
			}
		})
	}
}

func TestHintOf(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"nil", nil, ""},
		{"plain", errors.New("x"), ""},
		{"none", New(Failed, "", "x"), ""},
		{"own", New(Failed, "do a", "x"), "do a"},
		{"of the cause", Wrap(New(Failed, "do a", "x"), Failed, "", "y"), "do a"},
		{"the outermost goes first", Wrap(New(Failed, "do a", "x"), Failed, "do b", "y"), "do b"},
		{"through a plain one", fmt.Errorf("z: %w", Wrap(fmt.Errorf("y: %w", New(Failed, "do a", "x")), Failed, "", "w")), "do a"},
		{"of the second that was joined", errors.Join(New(Failed, "", "x"), fmt.Errorf("y: %w", New(Busy, "do b", "z"))), "do b"},
		{"of the first that was joined", Wrap(errors.Join(New(Failed, "do a", "x"), New(Busy, "do b", "z")), Failed, "", "y"), "do a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := HintOf(tt.err); got != tt.want {
				t.Errorf("HintOf(%v) = %q, want %q", tt.err, got, tt.want)
			}
		})
	}
}

func TestError(t *testing.T) {
	cause := errors.New("cause")
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"message", New(Failed, "a hint is not part of it", "reading %s", "x"), "reading x"},
		{"message and cause", Wrap(cause, Failed, "", "reading %s", "x"), "reading x: cause"},
		{"cause alone", &Error{Code: Failed, Err: cause}, "cause"},
		{"a percent sign in an argument", New(Failed, "", "reading %s", "100%d"), "reading 100%d"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.err.Error(); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
	if err := Wrap(nil, Failed, "do a", "x"); err != nil {
		t.Errorf("Wrap(nil) = %v", err)
	}
	if err := Wrap(cause, Failed, "", "x"); !errors.Is(err, cause) {
		t.Errorf("%v does not lead to its cause", err)
	}
}
