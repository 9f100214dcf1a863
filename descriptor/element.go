package descriptor

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/beevik/etree"
)

// shape is what an element may have.
type shape struct {
	attributes []string
	children   []string
	text       bool // text is its value
}

// unusedAttributes are known of starters and say nothing to Berth.
var unusedAttributes = []string{"interopEnabled", "interopWireFormat", "numaEnabled"}

// shapes are the elements of a corus.xml, as the schema distribution-5.0.xsd
// has them; what Corus reads beside it (processProperties, libDirs, successCode,
// image and some more of docker); and Berth's own attributes: restart and
// maxRestarts of a process, all of a port but its name.
var shapes = map[string]shape{
	"distribution": {
		attributes: []string{"name", "version", "tags", "propertyCategories"},
		children:   []string{"process"},
	},
	"process": {
		attributes: []string{"name", "invoke", "maxInstances", "maxKillRetry", "shutdownTimeout", "deleteOnKill",
			"pollInterval", "pollTimeout", "statusInterval", "tags", "propertyCategories", "interpolationPasses",
			"restart", "maxRestarts"},
		children: []string{"port", "preExec", "java", "generic", "magnet", "docker"},
	},
	"port": {
		attributes: []string{"name", "count", "protocol", "bind", "inject", "handoff"},
		children:   []string{"http-diagnostic", "https-diagnostic"},
	},
	"http-diagnostic":  {attributes: diagnosticAttributes},
	"https-diagnostic": {attributes: diagnosticAttributes},
	"preExec":          {children: []string{"cmd"}},
	"cmd":              {attributes: []string{"value"}, text: true},
	"java": {
		attributes: slices.Concat([]string{"profile", "mainClass", "args", "vmType", "libDirs", "javaHome", "javaCmd"}, unusedAttributes),
		children:   []string{"arg", "property", "option", "xoption", "dependency", "vmType", "libDirs"},
	},
	"magnet": {
		attributes: slices.Concat([]string{"profile", "magnetFile", "magnetOptions", "vmType", "libDirs", "javaHome", "javaCmd"}, unusedAttributes),
		children:   []string{"arg", "property", "option", "xoption", "dependency", "vmType", "libDirs"},
	},
	"generic": {
		attributes: slices.Concat([]string{"profile"}, unusedAttributes),
		children:   []string{"arg", "processProperties", "property", "dependency"},
	},
	"docker": {
		attributes: slices.Concat([]string{"profile", "image", "command", "autoRemoveEnabled"}, containerAttributes, unusedAttributes),
		children:   []string{"dependency", "portMapping", "volumeMapping", "env"},
	},
	"portMapping":       {attributes: []string{"hostPort", "containerPort"}},
	"volumeMapping":     {attributes: []string{"hostVolume", "containerVolume", "permission"}},
	"env":               {children: []string{"property"}},
	"arg":               {attributes: []string{"value"}},
	"processProperties": {},
	"property":          {attributes: []string{"name", "value"}},
	"option":            {attributes: []string{"name", "value"}},
	"xoption":           {attributes: []string{"name", "value"}},
	"dependency":        {attributes: []string{"distribution", "dist", "version", "process", "profile"}},
	"vmType":            {text: true},
	"libDirs":           {text: true},
}

// maxWarnings is how many warnings a distribution keeps.
const maxWarnings = 100

// reader gathers what is wrong and what is odd while a tree is read.
type reader struct {
	of          document
	lines       map[*etree.Element]int
	namespace   string
	problems    InvalidError
	warnings    []string
	warningsCut int
}

// element is an element of the tree with where it stands.
type element struct {
	*etree.Element
	r *reader

	// label names the element among its siblings: port "http". path is the
	// labels from the process on, that of the distribution for itself.
	label, path string
}

// problem notes an error about the element.
func (e *element) problem(format string, args ...any) {
	p := &e.r.problems
	if len(p.Problems) == maxProblems {
		p.More++
		return
	}
	p.Problems = append(p.Problems, e.path+": "+fmt.Sprintf(format, args...))
}

// warn notes what is odd but allowed about the element.
func (e *element) warn(format string, args ...any) { e.r.warn(e.path+": "+format, args...) }

func (r *reader) warn(format string, args ...any) {
	if len(r.warnings) == maxWarnings {
		r.warningsCut++
		return
	}
	r.warnings = append(r.warnings, fmt.Sprintf(format, args...))
}

// wrong is the error of all problems, nil where there is none.
func (r *reader) wrong() error {
	if len(r.problems.Problems) == 0 {
		return nil
	}
	return &r.problems
}

// said are the warnings, nil where there is none.
func (r *reader) said() []string {
	if r.warningsCut == 0 {
		return r.warnings
	}
	return append(r.warnings, fmt.Sprintf("and %d warnings more", r.warningsCut))
}

// root is the tree's first element, checked like the others.
func (r *reader) root(tree *etree.Element) *element {
	e := &element{Element: tree, r: r}
	e.label = e.identify(1, 1)
	e.path = e.label
	e.check()
	return e
}

// shape is what the element may have.
func (e *element) shape() shape { return e.r.of.shapes[e.Tag] }

// line says on which line a tag begins, for the end of a message.
func (e *element) line(of *etree.Element) string { return fmt.Sprintf("(line %d)", e.r.lines[of]) }

// identify labels the element by what tells it from its siblings: its name,
// profile or process, else its number among those with its tag.
func (e *element) identify(number, of int) string {
	tag := cut(e.Tag)
	attributes := e.shape().attributes
	for _, key := range []string{"name", "profile", "process"} {
		if !slices.Contains(attributes, key) || e.Tag == "dependency" && key == "profile" {
			continue
		}
		value, _ := e.attribute(key)
		switch {
		case value == "":
			return tag
		case key == "profile":
			return fmt.Sprintf("%s (profile %s)", tag, quote(value))
		default:
			return fmt.Sprintf("%s %s", tag, quote(value))
		}
	}
	if of > 1 {
		return fmt.Sprintf("%s %d", tag, number)
	}
	return tag
}

// check compares the element with its shape: its attributes, its text and,
// where it may have none, its elements. Those of others are for children to check.
func (e *element) check() {
	known := e.shape()
	for _, a := range e.Attr {
		switch {
		case a.Space == "" && a.Key == "xmlns", a.Space == "xmlns", a.Space == "xml":
		case a.Space != "":
			if a.NamespaceURI() == "" {
				e.problem("attribute %s: its prefix is not declared", quote(a.FullKey()))
			}
		case !slices.Contains(known.attributes, a.Key):
			if near := nearest(a.Key, known.attributes); near != "" {
				e.warn("attribute %s is not known and is ignored %s: did you mean %q?", quote(a.Key), e.line(e.Element), near)
			} else {
				e.warn("attribute %s is not known and is ignored %s", quote(a.Key), e.line(e.Element))
			}
		}
	}
	if len(known.children) == 0 {
		for _, child := range e.ChildElements() {
			e.accepts(child, nil)
		}
	}
	if known.text {
		return
	}
	for _, child := range e.Child {
		if text, ok := child.(*etree.CharData); ok && strings.TrimSpace(text.Data) != "" {
			e.warn("text %s is ignored", quote(strings.TrimSpace(text.Data)))
			return
		}
	}
}

// children returns the child elements that are known, in their order, each
// checked and labelled. The others are warnings, or problems.
func (e *element) children() []*element {
	elements := e.ChildElements()
	total, number := map[string]int{}, map[string]int{}
	for _, child := range elements {
		total[child.Tag]++
	}
	known := e.shape().children
	var out []*element
	for _, child := range elements {
		number[child.Tag]++
		if !e.accepts(child, known) {
			continue
		}
		c := &element{Element: child, r: e.r}
		c.label = c.identify(number[child.Tag], total[child.Tag])
		if child.Tag == "process" && c.label == "process" && total[child.Tag] > 1 {
			c.label = fmt.Sprintf("process %d", number[child.Tag])
		}
		c.path = e.path + ": " + c.label
		if e.Tag == e.r.of.root {
			c.path = c.label
		}
		c.check()
		out = append(out, c)
	}
	return out
}

// accepts reports whether child is one of the known elements and of the root's
// namespace. Another namespace is a problem; an element that is not known is a
// warning, as an attribute is.
func (e *element) accepts(child *etree.Element, known []string) bool {
	namespace := child.NamespaceURI()
	switch {
	case child.Space != "" && namespace == "":
		e.problem("element %s: its prefix is not declared", quote(child.FullTag()))
	case namespace != e.r.namespace:
		e.problem("element %s is of namespace %s, not of that of the %s", quote(child.FullTag()), quote(namespace), e.r.of.root)
	case slices.Contains(known, child.Tag):
		return true
	case nearest(child.Tag, known) != "":
		e.warn("element %s is not known and is ignored %s: did you mean %q?", quote(child.Tag), e.line(child), nearest(child.Tag, known))
	case len(known) == 0:
		e.warn("element %s is not known and is ignored %s: %s has no elements", quote(child.Tag), e.line(child), e.Tag)
	default:
		e.warn("element %s is not known and is ignored %s: %s has %s", quote(child.Tag), e.line(child), e.Tag, enumerate(known))
	}
	return false
}

// enumerate joins words for a sentence: a, b and c.
func enumerate(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}

// attribute returns the value of an attribute that has no prefix, and whether
// it is there.
func (e *element) attribute(key string) (string, bool) {
	for _, a := range e.Attr {
		if a.Space == "" && a.Key == key {
			return a.Value, true
		}
	}
	return "", false
}

// required returns the value of an attribute that must be there, and whether it is.
func (e *element) required(key string) (string, bool) {
	value, ok := e.attribute(key)
	if ok {
		return value, true
	}
	known := e.shape().attributes
	for _, a := range e.Attr {
		if a.Space == "" && !slices.Contains(known, a.Key) && nearest(a.Key, known) == key {
			e.problem("attribute %q is missing: did you mean it by %s?", key, quote(a.Key))
			return "", false
		}
	}
	e.problem("attribute %q is missing", key)
	return "", false
}

// filled returns the value of an attribute that must be there and not blank.
func (e *element) filled(key string) string {
	value, ok := e.required(key)
	if ok && strings.TrimSpace(value) == "" {
		e.problem("attribute %q is empty", key)
	}
	return value
}

// name returns the value of an attribute that must be there and a name.
func (e *element) name(key string) string {
	value, ok := e.required(key)
	if ok {
		e.checkName(key, value)
	}
	return value
}

// optionalName returns the value of an attribute that is a name where it is
// there. An empty one counts as left out.
func (e *element) optionalName(key string) string {
	value, _ := e.attribute(key)
	if value != "" {
		e.checkName(key, value)
	}
	return value
}

func (e *element) checkName(key, value string) {
	switch why := nameProblem(value); why {
	case "":
	case "is empty":
		e.problem("attribute %q is empty", key)
	default:
		e.problem("attribute %q: %s %s", key, quote(value), why)
	}
}

// integer returns the value of an attribute that is a whole number from low to
// high, or what stands for it where it is left out.
func (e *element) integer(key string, otherwise, low, high int) int {
	value, ok := e.attribute(key)
	if !ok {
		return otherwise
	}
	n, err := strconv.Atoi(strings.TrimSpace(value))
	if err != nil || n < low || n > high {
		e.problem("attribute %q: %s is not a whole number from %d to %d", key, quote(value), low, high)
		return otherwise
	}
	return n
}

// duration is integer in a unit of time.
func (e *element) duration(key string, unit time.Duration, otherwise, low, high int) time.Duration {
	return time.Duration(e.integer(key, otherwise, low, high)) * unit
}

// boolean returns the value of an attribute that is true or false, also
// written 1 or 0, or what stands for it where it is left out.
func (e *element) boolean(key string, otherwise bool) bool {
	value, ok := e.attribute(key)
	if !ok {
		return otherwise
	}
	switch strings.ToLower(strings.TrimSpace(value)) {
	case "true", "1":
		return true
	case "false", "0":
		return false
	}
	e.problem("attribute %q: %s is neither \"true\" nor \"false\"", key, quote(value))
	return otherwise
}

// list returns the parts of an attribute that are parted by commas, blanks
// around them and empty ones left out; nil where there is none.
func (e *element) list(key string) []string {
	value, _ := e.attribute(key)
	var out []string
	for part := range strings.SplitSeq(value, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

// content is the element's text, comments left out, blanks around it removed.
func (e *element) content() string {
	var b strings.Builder
	for _, child := range e.Child {
		if text, ok := child.(*etree.CharData); ok {
			b.WriteString(text.Data)
		}
	}
	return strings.TrimSpace(b.String())
}
