package settings

import "strings"

// Setting is one key of the settings.
type Setting struct {
	Name    string
	Default string // as text; "": none
	Several bool   // it takes a list, too
}

// Path returns the keys below each other in mxcluster.yaml that a setting's name stands for.
func (s Setting) Path() []string { return strings.Split(s.Name, ".") }

// Describe lists all settings.
func Describe() []Setting {
	var all []Setting
	for _, k := range table() {
		all = append(all, Setting{k.name, k.byDefault, takesSeveral(k.name)})
	}
	return all
}

// takesSeveral reports whether a setting takes several values.
func takesSeveral(name string) bool { return name == endpointsKey || name == targetsKey }
