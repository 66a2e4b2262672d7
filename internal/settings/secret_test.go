package settings

import (
	"os"
	"path/filepath"
	"testing"

	"mxcluster/internal/fault"
)

func TestLoadPassword(t *testing.T) {
	tests := []struct {
		name, text string
		mode       os.FileMode
		want       string
		code       fault.Code
		message    string
	}{
		{"a line", "s3cret word\n", 0o600, "s3cret word", 0, ""},
		{"no end of line", "s3cret", 0o400, "s3cret", 0, ""},
		{"another system's end of line", "s3cret\r\n", 0o600, "s3cret", 0, ""},
		{"readable by others", "s3cret\n", 0o644, "", fault.NotPermitted, "has mode 0644"},
		{"readable by the group", "s3cret\n", 0o640, "", fault.NotPermitted, "has mode 0640"},
		{"empty", "\n", 0o600, "", fault.Invalid, "does not hold one line"},
		{"two lines", "a\nb\n", 0o600, "", fault.Invalid, "does not hold one line"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "password")
			write(t, path, tt.text, tt.mode)
			got, err := LoadPassword(path)
			if tt.message != "" {
				wantFault(t, err, tt.code, tt.message, "chmod 600")
			} else if err != nil || got != tt.want {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
	_, err := LoadPassword(filepath.Join(t.TempDir(), "none"))
	wantFault(t, err, fault.Invalid, "there is no password file", "chmod 600")
}
