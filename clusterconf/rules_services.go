package clusterconf

import (
	"path"
	"slices"
	"strings"
)

// ServiceSyntax is the notation of a service in the contract.
const ServiceSyntax = "exec:/PATH, systemd:UNIT or ocf:PROVIDER:AGENT[,KEY=VALUE]..."

// What names may be made of. {lim} and {alias} stand for the LIM's own values and
// are filled in when the service is started.
const (
	letters   = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	digits    = "0123456789"
	inUnit    = letters + digits + `:_.@\{}-`
	inAgent   = letters + digits + "_.-"
	maxUnit   = 255
	inVarName = letters + digits + "_"
)

// validService tells whether run keeps to ServiceSyntax. Whether the program
// exists is known to the server alone where it is started.
func validService(run string) bool {
	kind, rest, _ := strings.Cut(run, ":")
	switch {
	case !printable(run) || len(run) > maxText:
		return false
	case kind == "exec":
		return path.IsAbs(rest) && path.Clean(rest) == rest && rest != "/"
	case kind == "systemd":
		return len(rest) <= maxUnit && madeOf(rest, inUnit)
	case kind == "ocf":
		words := strings.Split(rest, ",")
		provider, agent, _ := strings.Cut(words[0], ":")
		return madeOf(provider, inAgent) && madeOf(agent, inAgent) && !slices.ContainsFunc(words[1:], notParam)
	}
	return false
}

// CheckSyntax is the notation of an ability check.
const CheckSyntax = "exec:/PATH"

// validCheck tells whether text keeps to CheckSyntax.
func validCheck(text string) bool { return strings.HasPrefix(text, "exec:") && validService(text) }

// notParam tells whether a word is not KEY=VALUE with a key that can be the name of
// an environment variable.
func notParam(word string) bool {
	key, _, found := strings.Cut(word, "=")
	return !found || !madeOf(key, inVarName) || strings.IndexByte(digits, key[0]) >= 0
}

// Exposed lists the parameters of a service that are secrets by their names, and whose
// values stand in the document, which every user of a server may read. Those of the form
// file:/PATH do not.
func (s Service) Exposed() []string {
	words := strings.Split(s.Run, ",")
	if !strings.HasPrefix(words[0], "ocf:") {
		return nil
	}
	var out []string
	for _, word := range words[1:] {
		key, value, _ := strings.Cut(word, "=")
		if namesSecret(key) && value != "" && !path.IsAbs(strings.TrimPrefix(value, "file:")) {
			out = append(out, key)
		}
	}
	return out
}

// namesSecret tells whether a parameter's name is one that people give to secrets.
func namesSecret(key string) bool {
	key = strings.ToLower(key)
	return strings.HasSuffix(key, "key") || slices.ContainsFunc([]string{"pass", "secret", "token", "credential"},
		func(word string) bool { return strings.Contains(key, word) })
}

// madeOf tells whether a text is not empty and has none but these characters.
func madeOf(text, characters string) bool {
	return text != "" && strings.Trim(text, characters) == ""
}

func checkServices(d *Document, report reportFunc) {
	for i, l := range d.LIMs {
		for j, s := range l.Services {
			if !validService(s.Run) {
				report(at(at("lims", i)+".services", j)+".run", "write "+ServiceSyntax, "%q is not a service", s.Run)
			}
		}
	}
}

func checkAbilityChecks(d *Document, report reportFunc) {
	for i, l := range d.LIMs {
		for j, text := range l.Checks {
			switch path := at(at("lims", i)+".checks", j); {
			case !validCheck(text):
				report(path, "write "+CheckSyntax, "%q is not a check", text)
			case slices.Index(l.Checks, text) < j:
				report(path, "name each check once", "check %s of LIM %d is given twice", text, l.Number)
			}
		}
	}
}
