package wire

import (
	"strings"
	"testing"

	"mxcluster/internal/fault"
	"mxcluster/internal/levels"
)

// What a login prints before our greeting is passed over, whatever it is, up to a bound;
// what is not our greeting is named.
func TestNoiseOfALogin(t *testing.T) {
	hello := message(FrameGreeting, string(greetingOf(Spoken.Newest)))
	for _, tt := range []struct {
		name, output string
		code         fault.Code
		text         string
	}{
		{"none", hello, fault.OK, ""},
		{"a line", "Welcome\n" + hello, fault.OK, ""},
		{"lines of Windows", "Welcome\r\n\r\nto sb1\r\n" + hello, fault.OK, ""},
		{"no line's end", "Welcome" + hello, fault.OK, ""},
		{"colours", "\x1b[1mWelcome\x1b[0m\n" + hello, fault.OK, ""},
		{"not UTF-8", "Willkommen in M\xfcnchen\n" + hello, fault.OK, ""},
		{"something like it", `{"magic":"mxcluster-xdata","version":` + "\n\x01\x00\x00\x00\x02{}" + hello, fault.OK, ""},
		{"as much as may be", strings.Repeat("x", maxNoise-len(hello)-1) + hello, fault.OK, ""},
		{"more than that", strings.Repeat("Welcome to sb1\n", maxNoise/10) + hello, fault.Failed, `it begins with "Welcome to sb1"`},
		{"nothing else", "This account is currently not available.\n", fault.Failed, `it begins with "This account is currently not available."`},
		{"an older one", "Welcome\n" + message(FrameGreeting, string(greetingOf(6))), fault.Refused,
			"is too old: it speaks version 6 of the protocol of syncs, this server version 7"},
		{"a newer one", message(FrameGreeting, string(greetingOf(8))), fault.Refused, "is too new: it speaks version 8 of"},
		{"a newer one that knows this one", message(FrameGreeting, `{"magic":"mxcluster-xdata","version":7,"newest":8,"colour":"green"}`), fault.OK, ""},
		{"one that does not any more", message(FrameGreeting, `{"magic":"mxcluster-xdata","version":8,"newest":9}`), fault.Refused, "is too new: it speaks versions 8 to 9 of"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, protocol, err := NewLink(strings.NewReader(tt.output), nil).Meet(nil)
			wantCode(t, err, tt.code, tt.text)
			if err == nil && protocol != 7 {
				t.Errorf("version %d is chosen", protocol)
			}
			if tt.code == fault.Failed && !strings.Contains(fault.HintOf(err), "prints nothing") {
				t.Errorf("hint %q", fault.HintOf(err))
			}
			for version, who := range map[string]string{"version 6 ": "the other server", "version 8 ": "this server", "versions 8 to 9 ": "this server"} {
				if err != nil && strings.Contains(err.Error(), version) && !strings.Contains(fault.HintOf(err), who) {
					t.Errorf("hint %q does not name %s", fault.HintOf(err), who)
				}
			}
		})
	}
}

// Both sides speak the newest version that both know, and know at least the one before.
func TestTheNewestVersionOfBothIsSpoken(t *testing.T) {
	for _, tt := range []struct {
		ours, theirs Versions
		want         int
	}{
		{Versions{7, 7}, Versions{7, 7}, 7},
		{Versions{7, 8}, Versions{7, 7}, 7},
		{Versions{7, 8}, Versions{7, 9}, 8},
		{Versions{8, 9}, Versions{7, 8}, 8},
		{Versions{8, 9}, Versions{7, 7}, 0},
		{Versions{7, 7}, Versions{8, 8}, 0},
	} {
		if got, back := tt.ours.Common(tt.theirs), tt.theirs.Common(tt.ours); got != tt.want || back != tt.want {
			t.Errorf("%s and %s speak %d and %d, want %d", tt.ours, tt.theirs, got, back, tt.want)
		}
	}
	if first := 7; Spoken.Newest > first && Spoken.Oldest == Spoken.Newest {
		t.Errorf("%s alone is spoken, not the one before", Spoken)
	}
	if Spoken.Newest != levels.Transfer {
		t.Errorf("the newest is %d, and the level that is told %d", Spoken.Newest, levels.Transfer)
	}
}
