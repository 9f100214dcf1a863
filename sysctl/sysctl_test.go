package sysctl_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"berth/sysctl"
)

func TestLists(t *testing.T) {
	for _, c := range []struct{ text, with, merged string }{
		{"", "", ""},
		{"8080,9148-9150\n", "", "8080,9148-9150"},
		{"", "40000-40010", "40000-40010"},
		{"8080,9148-9150", "9151,8081-8082", "8080-8082,9148-9151"},
		{"1-10", "3,20-30,5-12,19", "1-12,19-30"},
		{"65535", "65534", "65534-65535"},
	} {
		list, err := sysctl.ParseList(c.text)
		if err != nil {
			t.Fatal(err)
		}
		with, err := sysctl.ParseList(c.with)
		if err != nil {
			t.Fatal(err)
		}
		if got := sysctl.FormatList(sysctl.Merge(list, with)); got != c.merged {
			t.Errorf("%q and %q: %s, want %s", c.text, c.with, got, c.merged)
		}
	}
	for _, text := range []string{"x", "1-", "-1", "5-4", "70000", "1 2"} {
		if list, err := sysctl.ParseList(text); err == nil {
			t.Errorf("%q was read as %v", text, list)
		}
	}
}

func TestExposed(t *testing.T) {
	reserved, err := sysctl.ParseList("32770,40000-40010,60990-65535")
	if err != nil {
		t.Fatal(err)
	}
	p := sysctl.Ports{Local: sysctl.Interval{First: 32768, Last: 60999}, Reserved: reserved}
	for _, c := range []struct {
		first, last int
		want        string
	}{
		{8080, 8085, ""}, {32760, 32775, "32768-32769,32771-32775"}, {40000, 40010, ""}, {40003, 40005, ""},
		{39999, 40011, "39999,40011"}, {60985, 61005, "60985-60989"}, {61000, 61010, ""}, {1, 65535, "32768-32769,32771-39999,40011-60989"},
	} {
		if got := sysctl.FormatList(p.Exposed(c.first, c.last)); got != c.want {
			t.Errorf("%d-%d: %s, want %s", c.first, c.last, got, c.want)
		}
	}
}

// settings makes a folder like /proc/sys.
func settings(t *testing.T, values map[string]string) sysctl.Kernel {
	t.Helper()
	dir := t.TempDir()
	for name, value := range values {
		file := filepath.Join(dir, strings.ReplaceAll(name, ".", "/"))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return sysctl.Kernel{Dir: dir}
}

func TestSettings(t *testing.T) {
	k := settings(t, map[string]string{sysctl.LocalRange: "32768\t60999\n", sysctl.Reserved: "8080\n", sysctl.Unprivileged: "80\n"})
	p, err := k.Ports()
	if err != nil || p.Local != (sysctl.Interval{First: 32768, Last: 60999}) || p.Unprivileged != 80 || !slices.Equal(p.Reserved, []sysctl.Interval{{First: 8080, Last: 8080}}) {
		t.Errorf("%+v, %v", p, err)
	}
	now, err := k.Spare([]sysctl.Interval{{First: 40000, Last: 40010}, {First: 8081, Last: 8081}})
	if err != nil || sysctl.FormatList(now.Reserved) != "8080-8081,40000-40010" {
		t.Errorf("%+v, %v", now, err)
	}
	// The kernel reads a page.
	var many []sysctl.Interval
	for port := 1; port < 4000; port += 2 {
		many = append(many, sysctl.Interval{First: port, Last: port})
	}
	if _, err := k.Spare(many); !errors.Is(err, sysctl.ErrRefused) {
		t.Errorf("more than the kernel reads: %v", err)
	}
	if now, err := k.Ports(); err != nil || sysctl.FormatList(now.Reserved) != "8080-8081,40000-40010" {
		t.Errorf("after a refusal: %+v, %v", now, err)
	}
	// Old kernels do not have the last one.
	k = settings(t, map[string]string{sysctl.LocalRange: "32768 60999", sysctl.Reserved: "\n"})
	if p, err := k.Ports(); err != nil || p.Unprivileged != 1024 || len(p.Reserved) != 0 {
		t.Errorf("%+v, %v", p, err)
	}
	for name, values := range map[string]map[string]string{
		"nothing":        {},
		"no two ports":   {sysctl.LocalRange: "x", sysctl.Reserved: ""},
		"no list":        {sysctl.LocalRange: "1 2", sysctl.Reserved: "x"},
		"no first port":  {sysctl.LocalRange: "1 2", sysctl.Reserved: "", sysctl.Unprivileged: "x"},
		"no list at all": {sysctl.LocalRange: "1 2"},
	} {
		if p, err := settings(t, values).Ports(); err == nil {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

// The kernel's own are read.
func TestKernel(t *testing.T) {
	p, err := sysctl.Kernel{}.Ports()
	if err != nil || p.Local.First < 1 || p.Local.Last > 65535 || p.Local.Last < p.Local.First || p.Unprivileged < 0 {
		t.Errorf("%+v, %v", p, err)
	}
	if os.Geteuid() == 0 && !p.BindsAll {
		t.Log("root without CAP_NET_BIND_SERVICE")
	}
}
