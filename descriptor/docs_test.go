package descriptor_test

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"berth/descriptor"
)

// schema are the names of Corus' schema distribution-5.0: of each element its
// attributes and elements.
var schema = map[string]string{
	"distribution":     "name version tags propertyCategories process",
	"process":          "name maxKillRetry shutdownTimeout deleteOnKill invoke pollInterval pollTimeout statusInterval tags propertyCategories maxInstances interpolationPasses port preExec magnet java generic docker",
	"port":             "name http-diagnostic https-diagnostic",
	"http-diagnostic":  "path statusCode readTimeout connectionTimeout portPrefix gracePeriod",
	"https-diagnostic": "path statusCode readTimeout connectionTimeout portPrefix gracePeriod",
	"preExec":          "cmd",
	"cmd":              "value",
	"magnet":           "magnetFile magnetOptions profile javaHome javaCmd vmType libDirs interopEnabled interopWireFormat dependency arg property option xoption",
	"vmType":           "",
	"java":             "mainClass profile javaHome javaCmd vmType libDirs args interopEnabled interopWireFormat numaEnabled dependency arg property option xoption",
	"generic":          "profile interopEnabled interopWireFormat numaEnabled dependency arg property",
	"docker":           "profile interopEnabled interopWireFormat autoRemoveEnabled user command networkMode macAddress memory memorySwap cpuShares cpuPeriod cpuSetCpus cpuQuota blkioWeight cgroupParent dependency portMapping volumeMapping env",
	"dependency":       "distribution dist process version profile",
	"arg":              "value",
	"property":         "name value",
	"option":           "name value",
	"xoption":          "name value",
	"portMapping":      "hostPort containerPort",
	"volumeMapping":    "hostVolume containerVolume permission",
	"env":              "property",
}

// execSchema are those of exec-2.0.
var execSchema = map[string]string{
	"exec":    "name startOnBoot process",
	"process": "dist version name profile",
}

// TestSchemaIsKnown holds that nothing of Corus' schemas is forgotten.
func TestSchemaIsKnown(t *testing.T) {
	for root, list := range map[string]map[string]string{"distribution": schema, "exec": execSchema} {
		known := descriptor.Names()[root]
		for tag, names := range list {
			if known[tag] == nil {
				t.Errorf("%s: element %s is not known", root, tag)
			}
			for _, name := range strings.Fields(names) {
				if !slices.Contains(known[tag], name) {
					t.Errorf("%s: %s of %s is not known", root, name, tag)
				}
			}
		}
	}
}

// TestSchemaIsWhole compares the lists with the schemas, where they are at hand.
func TestSchemaIsWhole(t *testing.T) {
	for file, list := range map[string]map[string]string{"distribution-5.0.xsd": schema, "exec-2.0.xsd": execSchema} {
		text, err := os.ReadFile("../../shared/corus/" + file)
		if errors.Is(err, os.ErrNotExist) {
			t.Logf("%s is not at hand", file)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		got := map[string][]string{}
		var at []string // elements that are being declared
		dec := xml.NewDecoder(strings.NewReader(string(text)))
		for {
			token, err := dec.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			switch e := token.(type) {
			case xml.StartElement:
				values := map[string]string{}
				for _, a := range e.Attr {
					values[a.Name.Local] = a.Value
				}
				switch name := values["name"] + values["ref"]; {
				case e.Name.Local == "element" && values["ref"] == "":
					if len(at) > 0 {
						got[at[len(at)-1]] = append(got[at[len(at)-1]], name)
					}
					at = append(at, name)
					if got[name] == nil {
						got[name] = []string{}
					}
				case e.Name.Local == "element":
					at = append(at, "")
					got[at[len(at)-2]] = append(got[at[len(at)-2]], name)
				case e.Name.Local == "attribute":
					got[at[len(at)-1]] = append(got[at[len(at)-1]], name)
				}
			case xml.EndElement:
				if e.Name.Local == "element" {
					at = at[:len(at)-1]
				}
			}
		}
		if len(got) != len(list) {
			t.Errorf("%s has %d elements, the list %d", file, len(got), len(list))
		}
		for tag, names := range got {
			if slices.Sort(names); !slices.Equal(slices.Compact(names), slices.Sorted(slices.Values(strings.Fields(list[tag])))) {
				t.Errorf("%s: %s has %q, the list %q", file, tag, names, list[tag])
			}
		}
	}
}

// TestDocsNameEverything holds that the tables of docs/descriptor.md have the
// names that are read, and no others.
func TestDocsNameEverything(t *testing.T) {
	text, err := os.ReadFile("../docs/descriptor.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{"distribution": "Elements and attributes of corus.xml", "magnet": "Magnet files", "exec": "Exec configurations", "apps": "App files"}
	code := regexp.MustCompile("`([^`]+)`")
	for root, title := range sections {
		_, section, found := strings.Cut(string(text), "\n## "+title+"\n")
		if !found {
			t.Fatalf("no section %q", title)
		}
		section, _, _ = strings.Cut(section, "\n## ")
		got := map[string][]string{}
		for line := range strings.SplitSeq(section, "\n") {
			cells := strings.Split(line, "|")
			if len(cells) != 5 || strings.HasPrefix(cells[1], "---") || strings.Contains(cells[2], "attribute or content") || strings.TrimSpace(cells[2]) == "key" {
				continue
			}
			tags := code.FindAllStringSubmatch(cells[1], -1)
			if root == "apps" {
				tags = [][]string{{"", strings.TrimSpace(cells[1])}}
			}
			if strings.TrimSpace(cells[3]) == "" && !strings.Contains(cells[2], "nothing") {
				t.Errorf("nothing is said of %s", line)
			}
			for _, tag := range tags {
				if got[tag[1]] == nil {
					got[tag[1]] = []string{}
				}
				for _, name := range code.FindAllStringSubmatch(cells[2], -1) {
					got[tag[1]] = append(got[tag[1]], name[1])
				}
				if strings.HasSuffix(strings.TrimSpace(cells[2]), "text") {
					got[tag[1]] = append(got[tag[1]], "text")
				}
			}
		}
		want := descriptor.Names()[root]
		for tag, names := range want {
			slices.Sort(got[tag])
			if names = append([]string{}, names...); !reflect.DeepEqual(got[tag], names) {
				t.Errorf("%s: element %s has\n%q, and the table\n%q", root, tag, names, got[tag])
			}
			delete(got, tag)
		}
		for tag := range got {
			t.Errorf("%s: element %s of the table is not known", root, tag)
		}
	}
}
