package gendocs

import (
	"fmt"
	"html"
	"io/fs"
	"path"
	"strings"
)

const pictureDir = "docs/pictures"

// terminals returns what is drawn as a terminal, by the name of the picture: a file, how its first
// line begins, and what stands behind its last one.
func terminals() map[string]struct{ file, begin, end string } {
	return map[string]struct{ file, begin, end string }{
		"status": {"internal/agent/testdata/situations/02-one-regular-down.golden", "sb1# mxcluster status", "\n\nsb1# mxcluster status --check"},
		"menu":   {"commands/testdata/menu.golden", "srv1# mxcluster menu", "\n\nAction, ? lists them, q ends: q"},
	}
}

// addTerminals draws what tests recorded, and README.md shows, as it looks on a terminal.
func addTerminals(tree fs.FS, files map[string][]byte) error {
	for name, t := range terminals() {
		text, err := fs.ReadFile(tree, t.file)
		if err != nil {
			return err
		}
		_, after, found := strings.Cut(string(text), t.begin)
		if !found {
			return fmt.Errorf("%s has no %q to draw", t.file, t.begin)
		}
		shown, _, found := strings.Cut(after, t.end)
		if !found {
			return fmt.Errorf("%s has no %q after what is drawn", t.file, t.end)
		}
		files[path.Join(pictureDir, name+".svg")] = terminal(name, strings.Split(t.begin+shown, "\n"))
	}
	return nil
}

// Sizes of a character of a terminal, and the space around them, in pixels.
const (
	cellWidth  = 7.8
	cellHeight = 18
	margin     = 14
)

// terminal draws lines as a terminal shows them, for light and dark.
func terminal(title string, lines []string) []byte {
	widest := 0
	for _, l := range lines {
		widest = max(widest, len([]rune(l)))
	}
	width, height := int(float64(widest)*cellWidth)+2*margin, len(lines)*cellHeight+2*margin
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img">
<title>%s</title>
<style>
svg { color-scheme: light dark }
rect { fill: #f6f8fa; stroke: #d0d7de }
text { font: 13px ui-monospace, Menlo, Consolas, monospace; fill: #24292f }
.typed { font-weight: 600 }
@media (prefers-color-scheme: dark) {
  rect { fill: #0d1117; stroke: #30363d }
  text { fill: #c9d1d9 }
}
</style>
<rect x="0.5" y="0.5" width="%d" height="%d" rx="6"/>
`, width, height, width, height, html.EscapeString(title), width-1, height-1)
	for i, l := range lines {
		if l == "" {
			continue
		}
		class := ""
		if strings.Contains(l, "# mxcluster ") {
			class = ` class="typed"`
		}
		shown := strings.TrimLeft(l, " ")
		x := margin + float64(len(l)-len(shown))*cellWidth
		// Spaces side by side would be drawn as one.
		fmt.Fprintf(&b, `<text%s x="%.1f" y="%d" textLength="%.1f" lengthAdjust="spacingAndGlyphs">%s</text>`+"\n",
			class, x, margin+(i+1)*cellHeight-5, float64(len([]rune(shown)))*cellWidth, strings.ReplaceAll(html.EscapeString(shown), " ", "\u00a0"))
	}
	b.WriteString("</svg>\n")
	return []byte(b.String())
}
