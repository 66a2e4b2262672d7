// Package bundle makes the file that goes to who helps: an archive of text files from which
// secrets are taken out. It is given texts and secrets, and reads nothing itself.
package bundle

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Gone stands in place of a secret.
const Gone = "(left out)"

// minSecret is the length from which a known secret is looked for, in bytes: shorter ones are in
// every other word.
const minSecret = 4

// pattern is a way in which secrets are written, whoever's they are.
type pattern struct {
	match *regexp.Regexp
	by    string
}

// Scrubber takes secrets out of texts.
type Scrubber struct {
	known    *strings.Replacer
	patterns []pattern
}

// NewScrubber returns one that knows these secrets besides those that look like some.
func NewScrubber(secrets ...[]byte) *Scrubber {
	var all []string
	for _, s := range secrets {
		all = append(all, encodings(s)...)
	}
	// Of two that begin at one place the longer one counts.
	slices.SortFunc(all, func(x, y string) int { return len(y) - len(x) })
	var pairs []string
	for _, s := range slices.Compact(all) {
		pairs = append(pairs, s, Gone)
	}
	const words = `(?:password|passwd|sshpass|pgpass|passphrase|passwort|secret|token|community|credential|auth_?key|priv_?key|private_?key|api_?key)`
	p := func(expr, by string) pattern { return pattern{regexp.MustCompile(expr), by} }
	return &Scrubber{known: strings.NewReplacer(pairs...), patterns: []pattern{
		p(`(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)`, Gone),
		p(`([A-Za-z][A-Za-z0-9+.-]*://[^\s/:@'"]*:)[^\s/@'"]+@`, "${1}"+Gone+"@"),
		p(`(?i)([\w.-]*`+words+`[\w-]*["']?\s*[=:]\s*)(?:"(?:[^"\\]|\\.)*"|'[^']*'|[^\s,;}"']+)`, "${1}"+Gone),
		p(`(?i)(--?`+words+`\s+)(?:"[^"]*"|'[^']*'|\S+)`, "${1}"+Gone),
		p(`(?i)((?:sshpass\s+-p|\s-pw)\s*)(?:"[^"]*"|'[^']*'|\S+)`, "${1}"+Gone),
		p(`(?i)(authorization["']?\s*[=:]\s*["']?(?:bearer|basic)\s+)[^\s"']+`, "${1}"+Gone),
		p(`(^|[^A-Za-z0-9+/_=-])[A-Za-z0-9+/_-]{43}=?([^A-Za-z0-9+/_=-]|$)`, "${1}"+Gone+"${2}"), // 32 bytes in base64
		p(`(?i)(^|[^0-9a-f:])[0-9a-f]{64}([^0-9a-f]|$)`, "${1}"+Gone+"${2}"),                     // in hex, and no hash: that has a colon before it
	}}
}

// Scrub returns the text without secrets.
func (s *Scrubber) Scrub(text []byte) []byte {
	out := []byte(s.known.Replace(string(text)))
	for _, p := range s.patterns {
		// Neighbours share the character between them: the second is found in a second look.
		for range 2 {
			out = p.match.ReplaceAll(out, []byte(p.by))
		}
	}
	return out
}

// encodings are the ways in which a secret may be written.
func encodings(secret []byte) (all []string) {
	secret = bytes.TrimSpace(secret)
	if len(secret) < minSecret {
		return nil
	}
	hexed := hex.EncodeToString(secret)
	all = append(all, string(secret), hexed, strings.ToUpper(hexed))
	for _, e := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding, base64.RawStdEncoding, base64.RawURLEncoding} {
		all = append(all, e.EncodeToString(secret))
	}
	// As it stands within JSON, Go's quotes and URLs.
	quoted := strconv.Quote(string(secret))
	all = append(all, quoted[1:len(quoted)-1], url.QueryEscape(string(secret)), url.PathEscape(string(secret)))
	if text, err := json.Marshal(string(secret)); err == nil {
		all = append(all, string(text[1:len(text)-1]))
	}
	slices.Sort(all)
	return slices.Compact(all)
}
