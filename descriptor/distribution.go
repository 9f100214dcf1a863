package descriptor

import (
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

// corusXML are descriptors. Their namespaces are those of the schemas
// distribution-2.0 to distribution-5.0, the ones between such as 4.7 included.
var corusXML = document{
	name: "a descriptor", root: "distribution",
	schema:     `"http://www.sapia-oss.org/xsd/corus/distribution-5.0.xsd", one of its versions from 2.0 on, or none`,
	namespaces: regexp.MustCompile(`^http://www\.sapia-oss\.org/xsd/corus/distribution-([2-4]\.[0-9]{1,2}|5\.0)\.xsd$`),
	shapes:     shapes,
}

// Parse reads a corus.xml of at most 1 MiB. It knows the namespaces of the
// schemas distribution-2.0 to distribution-5.0, and none at all. Elements may
// come in any order. An element or attribute that is not known is ignored, and
// a warning says where it stands; one of a namespace that was not expected is an
// error.
//
// What is wrong with the text is an [InvalidError], and ErrInvalid; an error
// of r is returned as it is.
func Parse(r io.Reader) (*Distribution, error) {
	root, err := corusXML.open(r)
	if err != nil {
		return nil, err
	}
	d := root.distribution()
	if err := root.r.wrong(); err != nil {
		return nil, err
	}
	root.r.circles(d)
	d.Warnings = root.r.said()
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
