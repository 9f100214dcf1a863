package conf

import (
	"strings"

	"berth/lease"
)

// Mask stands in lists for the value of a hidden property.
const Mask = "*********"

// Shown is the property as lists show it: a hidden one without its value.
func (p Property) Shown() Property {
	if p.Hidden() {
		p.Value = Mask
	}
	return p
}

// Hidden says whether nobody may see the value in a list, a log or a command line.
func (p Property) Hidden() bool { return isHidden(p.Name) }

// isHidden knows secrets by their names: those that Corus hides, in whatever case.
func isHidden(name string) bool {
	name = strings.ToLower(name)
	for _, pattern := range []string{"*password*", "*username*", "*secret*", "*access*key*"} {
		if lease.Match(pattern, name) {
			return true
		}
	}
	return false
}
