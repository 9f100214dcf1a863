package descriptor

import (
	"fmt"
	"io"
	"regexp"
)

// Distribution is a validated corus.xml: processes under a name and a version.
type Distribution struct {
	// Name and Version are 1 to 128 letters, digits, ".", "_" and "-", and
	// neither "." nor "..": they can be the names of folders. So are the names
	// of processes, of profiles and of the ranges that ports name.
	Name    string
	Version string

	// Tags are the tags that a server must have for any process of the
	// distribution to start on it.
	Tags []string

	// PropertyCategories name the sets of process properties that each
	// process is given, the later winning.
	PropertyCategories []string

	// Processes are in the order of the document; their names are unique.
	Processes []Process

	// Warnings are what is odd but allowed, one line each, at most about a hundred.
	Warnings []string
}

// Process returns the process of that name, and whether there is one.
func (d *Distribution) Process(name string) (*Process, bool) {
	for i := range d.Processes {
		if d.Processes[i].Name == name {
			return &d.Processes[i], true
		}
	}
	return nil, false
}

// namespaces matches those of the schemas distribution-2.0 to
// distribution-5.0, the ones between such as 4.7 included.
var namespaces = regexp.MustCompile(`^http://www\.sapia-oss\.org/xsd/corus/distribution-([2-4]\.[0-9]{1,2}|5\.0)\.xsd$`)

// Parse reads a corus.xml of at most 1 MiB. It knows the namespaces of the
// schemas distribution-2.0 to distribution-5.0, and none at all. Elements may
// come in any order. An element that is not known is an error; an attribute
// that is not known is a warning.
//
// What is wrong with the text is an [InvalidError], and ErrInvalid; an error
// of r is returned as it is.
func Parse(r io.Reader) (*Distribution, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxDescriptorBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read descriptor: %w", err)
	}
	if len(text) > maxDescriptorBytes {
		return nil, invalid("the text is larger than %d bytes", maxDescriptorBytes)
	}
	tree, err := readTree(text)
	if err != nil {
		return nil, err
	}
	namespace := tree.NamespaceURI()
	switch {
	case tree.Space != "" && namespace == "":
		return nil, invalid("root element %s: its prefix is not declared", quote(tree.FullTag()))
	case tree.Tag != "distribution":
		return nil, invalid("root element %s: a descriptor begins with <distribution>", quote(tree.FullTag()))
	case namespace != "" && !namespaces.MatchString(namespace):
		return nil, invalid("namespace %s is not known: use %q, one of its versions from 2.0 on, or none",
			quote(namespace), "http://www.sapia-oss.org/xsd/corus/distribution-5.0.xsd")
	}
	rd := &reader{namespace: namespace}
	d := rd.root(tree).distribution()
	if len(rd.problems.Problems) > 0 {
		return nil, &rd.problems
	}
	rd.circles(d)
	d.Warnings = rd.warnings
	if rd.warningsCut > 0 {
		d.Warnings = append(d.Warnings, fmt.Sprintf("and %d warnings more", rd.warningsCut))
	}
	return d, nil
}

// distribution reads the root element.
func (e *element) distribution() *Distribution {
	d := &Distribution{
		Name:               e.name("name"),
		Version:            e.name("version"),
		Tags:               e.list("tags"),
		PropertyCategories: e.list("propertyCategories"),
	}
	names := map[string]bool{}
	for _, child := range e.children() {
		p := child.process(d)
		if p.Name != "" && names[p.Name] {
			child.problem("the name is taken by an earlier process")
		}
		names[p.Name] = true
		d.Processes = append(d.Processes, p)
	}
	if len(d.Processes) == 0 {
		e.warn("there is no process in it")
	}
	return d
}
