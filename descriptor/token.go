package descriptor

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"

	"github.com/beevik/etree"
)

// readTree makes a tree of the text of a descriptor. What encoding/xml lets
// pass is refused in a pass over the tokens first, while nothing is held in
// memory yet: a DOCTYPE, a second root, text outside of the root, an attribute
// given twice, depth and number without bounds.
func readTree(text []byte) (*etree.Element, error) {
	text, err := utf8Text(text)
	if err != nil {
		return nil, err
	}
	if err := checkTokens(text); err != nil {
		return nil, err
	}
	doc := etree.NewDocument()
	doc.ReadSettings.MaxDepth = maxDepth
	if err := doc.ReadFromBytes(text); err != nil {
		return nil, invalid("not well-formed XML: %s", plain(err.Error()))
	}
	return doc.Root(), nil
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
}

func checkTokens(text []byte) error {
	p := &tokenPass{dec: xml.NewDecoder(bytes.NewReader(text)), seen: map[xml.Name]bool{}}
	p.dec.CharsetReader = func(charset string, _ io.Reader) (io.Reader, error) {
		p.charset = charset
		return nil, errCharset
	}
	for {
		token, err := p.dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return p.syntax(err)
		}
		if err := p.check(token); err != nil {
			return err
		}
	}
	if p.elements == 0 {
		return invalid("there is no element: a descriptor begins with <distribution>")
	}
	return nil
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
		return p.refuse("a DOCTYPE is not accepted: remove it")
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
