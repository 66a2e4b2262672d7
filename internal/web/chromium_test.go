package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// picturesEnv names a folder for pictures of the page, as Chromium shows it. Pages that lie in it as
// NAME.html are drawn, too.
const picturesEnv = "MXCLUSTER_TEST_PICTURES"

// measure is a script that finds what is hard to read: text whose contrast to what is behind it is
// below what the WCAG ask for, and what is wider than the window.
const measure = `<script>
function rgb(text) { return text.match(/[\d.]+/g).map(Number); }
function light([r, g, b]) {
  const f = v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b);
}
function behind(e) {
  for (; e; e = e.parentElement) {
    const c = rgb(getComputedStyle(e).backgroundColor);
    if (c.length < 4 || c[3] > 0) return c;
  }
  return [255, 255, 255];
}
function measured() {
  const bad = [], texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let words = 0;
  for (let t; t = texts.nextNode();) {
    const e = t.parentElement;
    if (!t.data.trim() || e.tagName === 'SCRIPT' || !e.getClientRects().length) continue;
    words++;
    const a = light(rgb(getComputedStyle(e).color)), b = light(behind(e));
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) bad.push(t.data.trim().slice(0, 40) + ' ' + contrast.toFixed(1));
  }
  return {words, bad, wider: document.documentElement.scrollWidth - innerWidth, paper: getComputedStyle(document.body).backgroundColor,
    cut: [...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth).length,
    pictures: [...document.images].map(i => i.naturalWidth)};
}
</script>`

// frames shows the page as wide as a screen and as narrow as a telephone.
const frames = `<!DOCTYPE html><body style="margin:0">
<iframe id="screen" style="width:1280px;height:1500px;border:0" src="/measured"></iframe>
<iframe id="phone" style="width:390px;height:1500px;border:0" src="/measured"></iframe>
<script>onload = () => { document.title = JSON.stringify([screen_(), phone_()]) };
function screen_() { return document.getElementById('screen').contentWindow.measured() }
function phone_() { return document.getElementById('phone').contentWindow.measured() }
</script>`

// seen is what measure finds.
type seen struct {
	Words    int
	Bad      []string
	Wider    int
	Paper    string
	Pictures []int
	Cut      int // tables that are wider than the window, in which people scroll
}

// chromium runs a Chromium on an address, and returns what it prints, and says.
func chromium(t *testing.T, program, address string, args ...string) (out, said string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, append([]string{"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions", "--disable-background-networking",
		"--hide-scrollbars", "--enable-logging=stderr", "--user-data-dir=" + t.TempDir()}, append(args, address)...)...)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	if err := cmd.Run(); err != nil {
		t.Errorf("chromium %q: %v: %s", args, err, e.String())
	}
	return o.String(), e.String()
}

// pageServer serves the page of a fake, and copies of it with a script that measures it.
func pageServer(t *testing.T, page http.Handler) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/", page)
	mux.HandleFunc("/measured", func(w http.ResponseWriter, r *http.Request) {
		_, text := get(page, "/")
		_, _ = w.Write([]byte(strings.Replace(text, `http-equiv="refresh"`, `name="x"`, 1) + measure)) // the browser may be gone
	})
	mux.HandleFunc("/frames", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(frames)) })
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

// A browser shows the page without a complaint, in light and dark, on a screen, a telephone and
// paper: each text is legible, and nothing is wider than the window.
func TestPageInChromium(t *testing.T) {
	t.Parallel()
	folder := os.Getenv(picturesEnv)
	program, err := exec.LookPath("chromium")
	if err != nil {
		t.Log("not installed: chromium; the page was opened in no browser")
		return
	}
	open(t, program, "troubled", pageServer(t, handlerOf(troubled())), folder)
	if folder == "" {
		return
	}
	files, _ := filepath.Glob(filepath.Join(folder, "*.html")) // the pattern is right
	for _, f := range files {
		page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, f) })
		open(t, program, strings.TrimSuffix(filepath.Base(f), ".html"), pageServer(t, page), folder)
	}
}

// open opens a page in every way that people do.
func open(t *testing.T, program, name, address, folder string) {
	t.Helper()
	pdf := filepath.Join(t.TempDir(), "page.pdf")
	var all sync.WaitGroup
	for scheme, value := range map[string]string{"dark": "0", "light": "1"} {
		all.Go(func() {
			set := "--blink-settings=preferredColorScheme=" + value
			out, _ := chromium(t, program, address+"/frames", set, "--window-size=1700,1500", "--dump-dom")
			title := regexp.MustCompile(`<title>(.*?)</title>`).FindStringSubmatch(out)
			var ways []seen
			if title == nil || json.Unmarshal([]byte(html.UnescapeString(title[1])), &ways) != nil || len(ways) != 2 {
				t.Errorf("%s, %s: it was not measured: %s", name, scheme, out)
				return
			}
			for i, on := range []string{"a screen", "a telephone"} {
				w := ways[i]
				if w.Words < 30 || len(w.Bad) > 0 || w.Wider > 0 || len(w.Pictures) == 1 && w.Pictures[0] == 0 {
					t.Errorf("%s, %s, on %s: %+v", name, scheme, on, w)
				}
				if w.Cut > 0 {
					t.Logf("%s, on %s: %d tables are scrolled", name, on, w.Cut)
				}
				if dark := w.Paper != "rgb(255, 255, 255)"; dark != (scheme == "dark") {
					t.Errorf("%s, %s: the paper is %s", name, scheme, w.Paper)
				}
			}
			if folder != "" {
				chromium(t, program, address+"/frames", set, "--window-size=1700,1500", "--screenshot="+filepath.Join(folder, name+"-"+scheme+".png"))
			}
		})
	}
	all.Go(func() {
		_, said := chromium(t, program, address+"/", "--print-to-pdf="+pdf, "--no-pdf-header-footer")
		if strings.Contains(said, "CONSOLE") {
			t.Errorf("%s: the browser complains: %s", name, said)
		}
	})
	all.Wait()
	text, err := os.ReadFile(pdf)
	if sheets := bytes.Count(text, []byte("/Type /Page\n")); err != nil || sheets < 1 || sheets > 5 {
		t.Errorf("%s: %d sheets of paper, %v", name, sheets, err)
	}
	if folder != "" {
		if err := os.WriteFile(filepath.Join(folder, name+".pdf"), text, 0o600); err != nil {
			t.Error(fmt.Errorf("keeping the sheets: %w", err))
		}
	}
}
