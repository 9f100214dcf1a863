package cmdline

import (
	"slices"
	"strings"
)

// reference is a ${…} or $<…> of a text, the brackets included.
type reference struct {
	open    int  // index of its first byte
	body    int  // index after the opening bracket
	end     int  // index of the closing bracket; -1 where there is none
	split   int  // index of the first ":-" of its own; -1 where there is none
	angle   bool // $<…>
	escaped bool // $${…}: text, but its brackets are paired all the same
}

// opening returns the length of the bracket that text begins with: 2 for ${ and
// $<, 3 for the escaped ones, 0 for anything else.
func opening(text string) int {
	switch {
	case len(text) >= 2 && text[0] == '$' && isBracket(text[1]):
		return 2
	case len(text) >= 3 && text[0] == '$' && text[1] == '$' && isBracket(text[2]):
		return 3
	}
	return 0
}

func isBracket(c byte) bool { return c == '{' || c == '<' }

// references finds the references of a text, in the order of their first bytes,
// those that nest included. It takes time in proportion to the text, whatever
// the brackets.
//
// A closing bracket closes the reference opened last if that is of its kind,
// and is text otherwise. An opening bracket after which no closing one of its
// kind comes is text.
func references(text string) []reference {
	first := strings.IndexByte(text, '$')
	if first < 0 {
		return nil
	}
	lastBrace, lastAngle := strings.LastIndexByte(text, '}'), strings.LastIndexByte(text, '>')
	var refs []reference
	var pending []int
	for i := first; i < len(text); i++ {
		switch c := text[i]; c {
		case '$':
			n := opening(text[i:])
			if n == 0 {
				continue
			}
			ref := reference{open: i, body: i + n, end: -1, split: -1, angle: text[i+n-1] == '<', escaped: n == 3}
			i += n - 1
			if ref.angle && i < lastAngle || !ref.angle && i < lastBrace {
				pending = append(pending, len(refs))
				refs = append(refs, ref)
			}
		case '}', '>':
			if len(pending) == 0 {
				continue
			}
			if top := &refs[pending[len(pending)-1]]; top.angle == (c == '>') {
				top.end = i
				pending = pending[:len(pending)-1]
			}
		case ':':
			if len(pending) == 0 || i+1 >= len(text) || text[i+1] != '-' {
				continue
			}
			if top := &refs[pending[len(pending)-1]]; top.split < 0 {
				top.split = i
				i++
			}
		}
	}
	if len(pending) > 0 {
		refs = slices.DeleteFunc(refs, func(r reference) bool { return r.end < 0 })
	}
	return refs
}

// referenceAt returns the reference that begins at an index of the text.
func referenceAt(refs []reference, open int) (reference, bool) {
	i, found := slices.BinarySearchFunc(refs, open, func(r reference, open int) int { return r.open - open })
	if !found {
		return reference{}, false
	}
	return refs[i], true
}

// Escape returns a text that Expand turns into s, whatever s holds.
func Escape(s string) string {
	if !strings.Contains(s, "${") && !strings.Contains(s, "$<") {
		return s
	}
	var out strings.Builder
	out.Grow(len(s) + 8)
	for i := range len(s) {
		if s[i] == '$' && i+1 < len(s) && isBracket(s[i+1]) {
			out.WriteByte('$')
		}
		out.WriteByte(s[i])
	}
	return out.String()
}
