package clusterconf

import (
	"path"
	"regexp"
	"strings"
)

// ServiceSyntax is the notation of a service in the contract.
const ServiceSyntax = "exec:/PATH, systemd:UNIT or ocf:PROVIDER:AGENT[,KEY=VALUE]..."

// {lim} and {alias} stand for the LIM's own values and are filled in when the
// service is started.
var (
	unitPattern     = regexp.MustCompile(`^[A-Za-z0-9:_.@\\{}-]{1,255}$`)
	ocfPattern      = regexp.MustCompile(`^[A-Za-z0-9_.-]+:[A-Za-z0-9_.-]+$`)
	ocfParamPattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=`)
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
		return unitPattern.MatchString(rest)
	case kind == "ocf":
		words := strings.Split(rest, ",")
		for _, param := range words[1:] {
			if !ocfParamPattern.MatchString(param) {
				return false
			}
		}
		return ocfPattern.MatchString(words[0])
	}
	return false
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
