package conf

import "berth/launcher/cmdline"

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
func (p Property) Hidden() bool { return cmdline.IsHidden(p.Name) }
