package gendocs

import (
	"strings"
	"testing"
)

// A table is wider than a terminal; its rows are read one below the other.
func TestTablesBecomeListsInManualPages(t *testing.T) {
	text := "Before.\n\n| key | default | meaning |\n|---|---|---|\n| `a` | 1 | the first |\n| `b` | | the second |\n| `c` | | |\n\nAfter.\n| x | y |\n|---|---|\n| p | q |\n"
	want := "Before.\n\n`a`\n:   default: 1  \n    meaning: the first\n\n`b`\n:   meaning: the second\n\n* `c`\n\n\nAfter.\np\n:   q\n\n"
	if got := lists(text); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	page := string(roff(lists(text)))
	for _, wanted := range []string{".TP\n\\fB", "default: 1\n.br\nmeaning: the first"} {
		if !strings.Contains(page, wanted) {
			t.Errorf("the page lacks %q:\n%s", wanted, page)
		}
	}
}

// Of several documents each is a chapter; of one its chapters are those of the page. Links are for
// readers with a browser.
func TestChaptersOfManualPages(t *testing.T) {
	text := "# Title\n\nSee [there](x.md#y).\n\n## Part\n"
	for _, tc := range []struct {
		oneOfSeveral bool
		want         string
	}{
		{true, "# Title\n\nSee there.\n\n## Part\n\n"},
		{false, "# DESCRIPTION\n\nSee there.\n\n# Part\n\n"},
	} {
		if got := chapter(text, tc.oneOfSeveral); got != tc.want {
			t.Errorf("got %q, want %q", got, tc.want)
		}
	}
}
