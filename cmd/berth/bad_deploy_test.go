package main

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// badDescriptors are texts that are no descriptors, each in a file.
func badDescriptors(h *host) []badCase {
	in := func(process string) string {
		return `<distribution name="bad" version="1">` + process + `</distribution>`
	}
	starter := func(content string) string {
		return in(`<process name="p"><generic profile="x"><arg value="a"/>` + content + `</generic></process>`)
	}
	before := func(element string) string {
		return in(`<process name="p">` + element + `<generic profile="x"><arg value="a"/></generic></process>`)
	}
	var cases []badCase
	for i, tt := range []struct{ name, text, says string }{
		{"empty", "", "the file is empty"},
		{"text", "PORT=8080\n", "neither a zip nor XML"},
		{"cut off", `<distribution name="bad" version="1"><process`, "line 1: not well-formed XML"},
		{"wrong end", "<distribution>\n</process>", "line 2: not well-formed XML"},
		{"undefined entity", in("&who;"), "&who;"},
		{"DOCTYPE", "<!DOCTYPE distribution>\n" + in(""), "a DOCTYPE is not accepted"},
		{"external entity", `<!DOCTYPE d [<!ENTITY e SYSTEM "file:///etc/passwd">]>` + in("&e;"), "a DOCTYPE is not accepted"},
		{"second root", in("") + in(""), "a second root element"},
		{"too deep", strings.Repeat("<a>", 100_000), "nested more than 32 deep"},
		{"too many elements", "<distribution>" + strings.Repeat("<b/>", 20_000), "more than 10000 elements"},
		{"too large", in("<!--" + strings.Repeat("x", 1<<20) + "-->"), "larger than 1048576 bytes"},
		{"other root", "<server/>", `root element "server"`},
		{"other namespace", `<distribution xmlns="urn:x" name="bad" version="1"/>`, `namespace "urn:x" is not known`},
		{"Latin-1", `<?xml version="1.0" encoding="ISO-8859-1"?>` + in(""), "save the text as UTF-8"},
		{"no name", `<distribution version="1"/>`, `attribute "name" is missing`},
		{"no version", `<distribution name="bad"/>`, `attribute "version" is missing`},
		{"name that leads out", `<distribution name=".." version="1"/>`, `attribute "name"`},
		{"version that leads out", `<distribution name="bad" version="../../x"/>`, `attribute "version"`},
		{"attribute twice", `<distribution name="bad" name="worse" version="1"/>`, `attribute "name" is given twice`},
		{"process without a name", in("<process/>"), `process: attribute "name" is missing`},
		{"process twice", in(strings.Repeat(`<process name="p"><generic profile="x"><arg value="a"/></generic></process>`, 2)), "the name is taken"},
		{"no starter", in(`<process name="p"/>`), "there is no starter"},
		{"profile twice", in(`<process name="p">` + strings.Repeat(`<generic profile="x"><arg value="a"/></generic>`, 2) + `</process>`), "the profile is taken"},
		{"port without a name", before("<port/>"), `process "p": port: attribute "name" is missing`},
		{"port with a bad name", before(`<port name="a/b"/>`), `port "a/b"`},
		{"no number", in(`<process name="p" shutdownTimeout="soon"><generic profile="x"><arg value="a"/></generic></process>`), `attribute "shutdownTimeout": "soon"`},
		{"neither true nor false", in(`<process name="p" invoke="maybe"><generic profile="x"><arg value="a"/></generic></process>`), `"maybe" is neither`},
		{"no command", in(`<process name="p"><generic profile="x"/></process>`), "there is no command"},
		{"no main class", in(`<process name="p"><java profile="x"/></process>`), `attribute "mainClass" is missing`},
		{"property without a name", starter(`<property value="v"/>`), `attribute "name" is missing`},
		{"dependency on nothing", starter("<dependency/>"), `attribute "process" is missing`},
	} {
		file := fmt.Sprintf("d%d.xml", i)
		h.write(file, tt.text)
		cases = append(cases, badCase{tt.name, words("deploy " + file), 1, tt.says})
	}
	h.write("copy.xml", strings.Replace(documentDescriptor, "httpServer", "other", 1))
	h.write("good.xml", in(""))
	return append(cases,
		badCase{"deployed already", words("deploy copy.xml"), 1, "demo 1.0 is deployed already"},
		badCase{"bad one before a good one", words("deploy d5.xml good.xml"), 1, "nothing was deployed"},
		badCase{"no file", words("deploy none.xml"), 1, "there is no file `none.xml`"},
		badCase{"no file matches", words("deploy none*.xml"), 1, "no file matches"},
		badCase{"bad pattern", words("deploy [a"), 2, "pattern"},
		badCase{"nothing named", words("deploy"), 2, "missing"},
	)
}

// entry is one of a zip that a test makes.
type entry struct {
	name, text string
	mode       fs.FileMode
	flags      uint16
}

const goodDescriptor = `<distribution name="bad" version="1"><process name="p"><generic profile="x"><arg value="a"/></generic></process></distribution>`

// badArchives are zips and folders that cannot be deployed.
func badArchives(h *host) []badCase {
	place := entry{name: "META-INF/corus.xml", text: goodDescriptor}
	var cases []badCase
	add := func(name, says string, content []byte) {
		file := fmt.Sprintf("a%d.zip", len(cases))
		h.write(file, string(content))
		cases = append(cases, badCase{name, words("deploy " + file), 1, says})
	}
	with := func(name, says string, entries ...entry) { add(name, says, h.zip(append(entries, place)...)) }

	with("path out of it", "leads out of the archive", entry{name: "../../escaped", text: "x"})
	with("absolute path", "has an absolute name", entry{name: "/tmp/escaped", text: "x"})
	with("backslashes", `has a "\" in its name`, entry{name: `..\escaped`, text: "x"})
	with("symbolic link", "is a symbolic link", entry{name: "link", text: "/etc/passwd", mode: fs.ModeSymlink | 0o777})
	with("device", "is a device", entry{name: "null", mode: fs.ModeDevice | fs.ModeCharDevice | 0o666})
	with("name twice", "is there twice", entry{name: "a", text: "1"}, entry{name: "a", text: "2"})
	with("names that differ in case", "differ in case only", entry{name: "a", text: "1"}, entry{name: "A", text: "2"})
	with("file and folder", `"a"`, entry{name: "a", text: "1"}, entry{name: "a/b", text: "2"})
	with("descriptor twice", "is there twice", place)
	with("bomb", "times larger than the archive", entry{name: "zeros", text: strings.Repeat("\x00", 17<<20)})
	with("encrypted", "is encrypted", entry{name: "secret", text: "x", flags: 1})
	with("control character", "control character", entry{name: "a\nb", text: "x"})
	add("no descriptor", "there is no META-INF/corus.xml in the archive", h.zip(entry{name: "readme", text: "x"}))
	add("descriptor elsewhere", `"corus.xml": move it there`, h.zip(entry{name: "corus.xml", text: goodDescriptor}))
	add("descriptor in a folder", `pack what is in the folder "demo"`, h.zip(entry{name: "demo/META-INF/corus.xml", text: goodDescriptor}))
	add("folder for a descriptor", "there is no META-INF/corus.xml", h.zip(entry{name: "META-INF/corus.xml/", mode: fs.ModeDir | 0o755}))
	add("bad descriptor", "META-INF/corus.xml: ", h.zip(entry{name: place.name, text: "<server/>"}))
	add("no entry", "there is no META-INF/corus.xml", h.zip())
	add("empty file", "the file is empty", nil)
	add("no zip", "neither a zip nor XML", []byte("hello"))
	add("gzip", "it is a gzip file", []byte("\x1f\x8b\x08\x00"))
	whole := h.zip(entry{name: "data", text: strings.Repeat("data ", 1000)}, place)
	add("cut off", "damaged", whole[:len(whole)/2])
	flipped := bytes.Clone(whole)
	flipped[60] ^= 0xff // in the first entry's content
	add("damaged", `entry "data"`, flipped)

	h.write("without/readme", "x")
	h.write("linked/META-INF/corus.xml", goodDescriptor)
	h.write("parent/demo/META-INF/corus.xml", goodDescriptor)
	err := errors.Join(
		os.Mkdir(filepath.Join(h.dir, "emptyfolder"), 0o700),
		os.Symlink("/etc/passwd", filepath.Join(h.dir, "linked", "passwd")),
	)
	if err != nil {
		h.t.Fatal(err)
	}
	return append(cases,
		badCase{"folder without a descriptor", words("deploy without"), 1, "META-INF/corus.xml"},
		badCase{"folder with a link", words("deploy linked"), 1, "passwd"},
		badCase{"folder above the right one", words("deploy parent"), 1, "META-INF/corus.xml"},
		badCase{"empty folder", words("deploy emptyfolder"), 1, "META-INF/corus.xml"},
		badCase{"device by itself", words("deploy /dev/null"), 1, "/dev/null"},
	)
}

// zip makes a zip.
func (h *host) zip(entries ...entry) []byte {
	h.t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, e := range entries {
		header := &zip.FileHeader{Name: e.name, Method: zip.Deflate, Flags: e.flags}
		if e.mode != 0 {
			header.SetMode(e.mode)
		}
		w, err := z.CreateHeader(header)
		if err == nil && e.text != "" {
			_, err = w.Write([]byte(e.text))
		}
		if err != nil {
			h.t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		h.t.Fatal(err)
	}
	return b.Bytes()
}
