package descriptor_test

import (
	"errors"
	"strings"
	"testing"

	"berth/descriptor"
)

func TestParsePortSpec(t *testing.T) {
	for text, want := range map[string]descriptor.PortSpec{
		"http":              {Range: "http"},
		" http.v2_x-y ":     {Range: "http.v2_x-y"},
		"3000a":             {Range: "3000a"},
		"a-3000":            {Range: "a-3000"},
		"auto":              {Range: "auto"},
		"3000":              {First: 3000, Last: 3000},
		"65535":             {First: 65535, Last: 65535},
		"1":                 {First: 1, Last: 1},
		"3000-3003":         {First: 3000, Last: 3003},
		"3000 - 3003":       {First: 3000, Last: 3003},
		"3000-3000":         {First: 3000, Last: 3000},
		"auto:5000-5100":    {First: 5000, Last: 5100, Auto: true},
		"AUTO: 5000 - 5100": {First: 5000, Last: 5100, Auto: true},
		"auto:5000":         {First: 5000, Last: 5000, Auto: true},
		"0":                 {},
	} {
		got, err := descriptor.ParsePortSpec(text)
		if err != nil || got != want {
			t.Errorf("%q: got %+v, %v; want %+v", text, got, err, want)
			continue
		}
		if again, err := descriptor.ParsePortSpec(got.String()); err != nil || again != got {
			t.Errorf("%q: written as %q, which is read as %+v, %v", text, got, again, err)
		}
	}
}

func TestParsePortSpecRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":               `the port is empty: write a range's name, 3000, 3000-3003, auto:5000-5100 or 0`,
		"  ":             `the port is empty: write a range's name, 3000, 3000-3003, auto:5000-5100 or 0`,
		"65536":          `port "65536": 65536 is not a port from 1 to 65535`,
		"0-10":           `port "0-10": 0 is not a port from 1 to 65535`,
		"99999999999999": `port "99999999999999": 99999999999999 is not a port from 1 to 65535`,
		"3003-3000":      `port "3003-3000": the last port is below the first: write 3000-3003`,
		"auto:":          `port "auto:": "auto:" needs the first and the last port, as in auto:5000-5100`,
		"auto:0":         `port "auto:0": "auto:" needs the first and the last port, as in auto:5000-5100`,
		"auto:http":      `port "auto:http": "auto:" needs the first and the last port, as in auto:5000-5100`,
		"auto:2-1":       `port "auto:2-1": the last port is below the first: write 1-2`,
		"http:8080":      `port "http:8080": what stands before a ":" is "auto", as in auto:5000-5100`,
		"a b":            `port "a b" is none of a range's name, 3000, 3000-3003, auto:5000-5100 and 0`,
		"${port}":        `port "${port}" is none of a range's name, 3000, 3000-3003, auto:5000-5100 and 0`,
	} {
		got, err := descriptor.ParsePortSpec(text)
		if !errors.Is(err, descriptor.ErrInvalid) || err.Error() != want || got != (descriptor.PortSpec{}) {
			t.Errorf("%q: got %+v\n%v\nwant\n%s", text, got, err, want)
		}
	}
}

func FuzzParsePortSpec(f *testing.F) {
	for _, text := range []string{"http", "3000", "3000-3003", "auto:5000-5100", "0", "auto:", "1-0", "-", "0-0", "٣"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		spec, err := descriptor.ParsePortSpec(text)
		if err != nil {
			checkLine(t, err)
			return
		}
		if spec.Range != "" && (spec.First != 0 || spec.Auto) || spec.First < 0 || spec.Last > 65535 || spec.Last < spec.First || spec.First == 0 && spec.Last > 0 {
			t.Errorf("%q is %+v", text, spec)
		}
		if again, err := descriptor.ParsePortSpec(spec.String()); err != nil || again != spec || strings.ContainsAny(spec.String(), " \n") {
			t.Errorf("%q: written as %q, which is read as %+v, %v", text, spec, again, err)
		}
	})
}
