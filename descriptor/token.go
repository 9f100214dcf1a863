package descriptor

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/beevik/etree"
)

// document is a sort of XML text.
type document struct {
	name    string // as errors call it: a descriptor
	root    string
	schema  string // the namespace to use, for errors
	doctype bool   // accepted, and nothing of it read

	namespaces *regexp.Regexp // those that are known beside none
	shapes     map[string]shape
}

// open reads a text of at most 1 MiB, and returns its root, checked, with the
// reader that gathers what is wrong with it.
func (of document) open(r io.Reader) (*element, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxDescriptorBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", strings.TrimPrefix(strings.TrimPrefix(of.name, "an "), "a "), err)
	}
	if len(text) > maxDescriptorBytes {
		return nil, invalid("the text is larger than %d bytes", maxDescriptorBytes)
	}
	tree, lines, err := readTree(text, of)
	if err != nil {
		return nil, err
	}
	namespace := tree.NamespaceURI()
	switch {
	case tree.Space != "" && namespace == "":
		return nil, invalid("root element %s: its prefix is not declared", quote(tree.FullTag()))
	case tree.Tag == "magnet" && tree.Tag != of.root:
		return nil, invalid("%s", of.isMagnet())
	case tree.Tag != of.root:
		return nil, invalid("root element %s: %s begins with <%s>", quote(tree.FullTag()), of.name, of.root)
	case namespace != "" && !of.namespaces.MatchString(namespace):
		return nil, invalid("namespace %s is not known: use %s", quote(namespace), of.schema)
	}
	rd := &reader{namespace: namespace, lines: lines, of: of}
	return rd.root(tree), nil
}

// isMagnet is why a magnet file is refused where another document has to be.
func (of document) isMagnet() string {
	return fmt.Sprintf("this is a magnet file and not %s: put it into a distribution, where attribute magnetFile of a <magnet> starter names it", of.name)
}

// readTree makes a tree of the text of a descriptor. What encoding/xml lets
// pass is refused in a pass over the tokens first, while nothing is held in
// memory yet: a DOCTYPE, a second root, text outside of the root, an attribute
// given twice, depth and number without bounds.
//
// The lines are those on which the tags of elements begin.
func readTree(text []byte, of document) (root *etree.Element, lines map[*etree.Element]int, err error) {
	text, err = utf8Text(text)
	if err != nil {
		return nil, nil, err
	}
	began, err := checkTokens(text, of)
	if err != nil {
		return nil, nil, err
	}
	doc := etree.NewDocument()
	doc.ReadSettings.MaxDepth = maxDepth
	if err := doc.ReadFromBytes(text); err != nil {
		return nil, nil, invalid("not well-formed XML: %s", plain(err.Error()))
	}
	lines = make(map[*etree.Element]int, len(began))
	var number func(*etree.Element)
	number = func(e *etree.Element) {
		if len(lines) < len(began) {
			lines[e] = began[len(lines)]
		}
		for _, child := range e.ChildElements() {
			number(child)
		}
	}
	number(doc.Root())
	return doc.Root(), lines, nil
}

// utf8Text removes a byte order mark and refuses the encodings that can be
// told without a declaration.
func utf8Text(text []byte) ([]byte, error) {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	start := text[:min(len(text), 4)]
	if bytes.HasPrefix(start, []byte("\xfe\xff")) || bytes.HasPrefix(start, []byte("\xff\xfe")) || bytes.IndexByte(start, 0) >= 0 {
		return nil, invalid("the text is UTF-16 or UTF-32: save it as UTF-8")
	}
	return text, nil
}

// errCharset is what the decoder is given for a declared encoding other than UTF-8.
var errCharset = errors.New("encoding is not supported")

// tokenPass is the state of one pass over the tokens of a text.
type tokenPass struct {
	dec      *xml.Decoder
	charset  string // the declared encoding, where it is not UTF-8
	depth    int
	elements int
	ended    bool // the root has ended
	seen     map[xml.Name]bool
	of       document
	doctype  bool  // there was one
	began    []int // the lines of start tags
}

func checkTokens(text []byte, of document) (began []int, err error) {
	p := &tokenPass{dec: xml.NewDecoder(bytes.NewReader(text)), seen: map[xml.Name]bool{}, of: of}
	p.dec.CharsetReader = func(charset string, _ io.Reader) (io.Reader, error) {
		p.charset = charset
		return nil, errCharset
	}
	for {
		line, _ := p.dec.InputPos() // where the token begins
		token, err := p.dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, p.syntax(err)
		}
		if err := p.check(token); err != nil {
			return nil, err
		}
		if _, ok := token.(xml.StartElement); ok {
			p.began = append(p.began, line)
		}
	}
	if p.elements == 0 {
		return nil, invalid("there is no element: %s begins with <%s>", of.name, of.root)
	}
	return p.began, nil
}

// syntax puts an error of the decoder into our words.
func (p *tokenPass) syntax(err error) error {
	if errors.Is(err, errCharset) {
		return p.refuse("encoding %s is not supported: save the text as UTF-8", quote(p.charset))
	}
	msg := strings.TrimPrefix(err.Error(), "xml: ")
	if s, ok := errors.AsType[*xml.SyntaxError](err); ok {
		msg = s.Msg
	}
	return p.refuse("not well-formed XML: %s", plain(msg))
}

func (p *tokenPass) refuse(format string, args ...any) error {
	line, _ := p.dec.InputPos()
	return invalid("line %d: "+format, append([]any{line}, args...)...)
}

func (p *tokenPass) check(token xml.Token) error {
	switch t := token.(type) {
	case xml.Directive:
		return p.directive(t)
	case xml.CharData:
		if p.depth == 0 && len(bytes.TrimSpace(t)) > 0 {
			return p.refuse("text %s stands outside of the root element", quote(string(bytes.TrimSpace(t))))
		}
	case xml.EndElement:
		p.depth--
		p.ended = p.depth == 0
	case xml.StartElement:
		return p.start(t)
	}
	return nil
}

// directive accepts the DOCTYPE of a document that usually has one, before its
// root and without a subset of its own. Nothing that it names is fetched.
func (p *tokenPass) directive(d xml.Directive) error {
	switch {
	case !p.of.doctype && bytes.HasPrefix(d, []byte("DOCTYPE magnet")):
		return p.refuse("%s", p.of.isMagnet())
	case !p.of.doctype:
		return p.refuse("a DOCTYPE is not accepted: remove it")
	case p.elements > 0 || p.doctype:
		return p.refuse("a DOCTYPE stands once, before the first element")
	case !bytes.HasPrefix(d, []byte("DOCTYPE")):
		return p.refuse("<!%s is not accepted: remove it", plain(string(d[:min(len(d), 16)])))
	case bytes.ContainsAny(d, "[<"):
		return p.refuse("a DOCTYPE with an internal subset ([…]) is not accepted: remove the subset")
	}
	p.doctype = true
	return nil
}

func (p *tokenPass) start(t xml.StartElement) error {
	p.depth++
	p.elements++
	switch {
	case p.ended:
		return p.refuse("a second root element %s", quote(t.Name.Local))
	case p.depth > maxDepth:
		return p.refuse("elements are nested more than %d deep", maxDepth)
	case p.elements > maxElements:
		return p.refuse("there are more than %d elements", maxElements)
	case len(t.Attr) > maxAttributes:
		return p.refuse("element %s has more than %d attributes", quote(t.Name.Local), maxAttributes)
	}
	clear(p.seen)
	for _, a := range t.Attr {
		if p.seen[a.Name] {
			return p.refuse("element %s: attribute %s is given twice", quote(t.Name.Local), quote(a.Name.Local))
		}
		p.seen[a.Name] = true
	}
	return nil
}
