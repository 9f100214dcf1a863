package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"berth/api"
	"berth/shell"
)

// badCase is a command that is refused and changes nothing.
type badCase struct {
	name string
	args []string
	code int
	says string // what the error has in it
}

// words parts a command into its words. A pair of single quotes is an empty one.
func words(line string) []string {
	out := strings.Fields(line)
	for i, word := range out {
		if word == "''" {
			out[i] = ""
		}
	}
	return out
}

// Bad input is refused with a line and the exit code that the design names, and
// changes nothing. One daemon takes all of it.
func TestBadInput(t *testing.T) {
	h := newHost(t)
	m := portBlock(t)
	prepareBad(h, m)
	pid := h.daemon().PID

	groups := map[string][]badCase{
		"ranges":      badRanges(m),
		"properties":  badProperties(h, m),
		"options":     badOptions(),
		"processes":   badProcesses(),
		"scripts":     badScripts(h),
		"descriptors": badDescriptors(h),
		"archives":    badArchives(h),
	}
	// The program starts in a hundredth of a second, and with the race detector
	// in a tenth. Then most commands are run by a shell within this process.
	racing := hasRaceDetector()
	t.Chdir(h.dir)
	try := func(n int, args []string) result {
		if racing && n%8 != 0 {
			return h.within(args...)
		}
		return h.try(args...)
	}
	cases, before := 0, picture(t, h)
	for group, bad := range groups {
		names := map[string]bool{}
		for _, tt := range bad {
			cases++
			if names[tt.name] || tt.says == "" {
				t.Errorf("%s: case %q has the name of another, or expects no words", group, tt.name)
			}
			names[tt.name] = true
			t.Run(group+"/"+tt.name, func(t *testing.T) {
				r := try(cases, tt.args)
				checkRefused(t, r, tt.code)
				if !strings.Contains(r.err, tt.says) {
					t.Errorf("the error does not say %q: %s", tt.says, r.err)
				}
				after := picture(t, h)
				if after != before {
					t.Errorf("before:\n%s\nafter:\n%s", before, after)
				}
				before = after
			})
		}
	}
	t.Logf("%d cases", cases)
	if d := h.daemon(); d.PID != pid {
		t.Errorf("the daemon was %d and is %d", pid, d.PID)
	}
}

// hasRaceDetector reports whether this program was built with -race.
func hasRaceDetector() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// within runs a command in this process.
func (h *host) within(args ...string) result {
	var out, errOut bytes.Buffer
	sh := shell.New(shell.Options{Client: h.client, In: strings.NewReader(""), Out: &out, Err: &errOut})
	code := sh.Run(h.t.Context(), args)
	return result{args, code, out.String(), errOut.String()}
}

// prepareBad brings a host into a state in which much can be refused.
func prepareBad(h *host, m int) {
	h.t.Helper()
	h.write("demo/META-INF/corus.xml", documentDescriptor)
	h.write("more.xml", `<distribution name="more" version="2.0">
  <process name="norange"><port name="nosuch"/><generic profile="test"><arg value="server"/></generic></process>
  <process name="noprogram" invoke="false"><port name="http"/><generic profile="test"><arg value="no-such-program"/></generic></process>
  <process name="nofile"><port name="http"/><generic profile="test"><arg value="./no/such/file"/></generic></process>
  <process name="noexec"><port name="http"/><generic profile="test"><arg value="META-INF/corus.xml"/></generic></process>
  <process name="magnet"><port name="http"/><magnet magnetFile="m.xml" profile="test"/></process>
  <process name="circle"><port name="http"/><generic profile="test"><arg value="server"/><arg value="${a}"/><property name="a" value="${b}"/><property name="b" value="${a}"/></generic></process>
  <process name="one" maxInstances="1"><generic profile="test"><arg value="server"/></generic></process>
</distribution>`)
	add := func(name string, from, to int, more ...string) {
		h.run(append([]string{"port", "add", "-n", name, "-min", fmt.Sprint(from), "-max", fmt.Sprint(to)}, more...)...)
	}
	add("web", m+2, m+8)
	h.run("port", "archive", "-rev", "old")
	h.run("port", "del", "-n", "web")
	add("http", m, m+5)
	add("dns", m, m+5, "-proto", "udp")
	h.run("deploy", "demo", "more.xml")
	h.run(execOne...)
}

// picture is everything that must not change.
func picture(t *testing.T, h *host) string {
	t.Helper()
	ctx := t.Context()
	ranges, err := h.client.Ranges(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	distributions, err := h.client.Distributions(ctx, "", "")
	if err != nil {
		t.Fatal(err)
	}
	processes, err := h.client.Processes(ctx, api.Selector{}, true)
	if err != nil {
		t.Fatal(err)
	}
	for i := range processes { // what changes by itself
		p := &processes[i]
		p.CPUPercent, p.MemoryBytes, p.UptimeSeconds = nil, nil, nil
	}
	leases, err := h.client.Leases(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, dir := range []string{"distributions", "staging", "spool", "processes"} {
		err := filepath.WalkDir(filepath.Join(h.home, dir), func(path string, entry fs.DirEntry, err error) error {
			files = append(files, path)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	text, err := json.MarshalIndent([]any{ranges, distributions, processes, leases, files}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func badRanges(m int) []badCase {
	add := func(name string, from, to any, more string) []string {
		return append([]string{"port", "add", "-n", name, "-min", fmt.Sprint(from), "-max", fmt.Sprint(to)}, words(more)...)
	}
	return []badCase{
		{"no name", words("port add -min 1 -max 2"), 2, "option -n is missing"},
		{"no first port", words("port add -n a -max 2"), 2, "option -min is missing"},
		{"no last port", words("port add -n a -min 2"), 2, "option -max is missing"},
		{"empty name", words("port add -n '' -min 1 -max 2"), 2, "option -n is empty"},
		{"blank in the name", add("a b", m+10, m+11, ""), 1, "a b"},
		{"slash in the name", add("a/b", m+10, m+11, ""), 1, "a/b"},
		{"letter of another alphabet", add("größe", m+10, m+11, ""), 1, "größe"},
		{"pattern for a name", add("a*", m+10, m+11, ""), 1, "a*"},
		{"line end in the name", add("a\nb", m+10, m+11, ""), 1, "range"},
		{"long name", add(strings.Repeat("a", 5000), m+10, m+11, ""), 1, "5000 characters"},
		{"first port 0", add("a", 0, 5, ""), 2, "option -min: `0` is not between 1 and 65535"},
		{"last port 65536", add("a", 65535, 65536, ""), 2, "option -max: `65536` is not between 1 and 65535"},
		{"negative port", add("a", -1, 5, ""), 2, "-1"},
		{"huge port", add("a", "99999999999999999999", 5, ""), 2, "is not between"},
		{"word for a port", add("a", "http", 5, ""), 2, "`http` is not a whole number"},
		{"half a port", add("a", "1.5", 5, ""), 2, "`1.5` is not a whole number"},
		{"hexadecimal port", add("a", "0x50", 100, ""), 2, "`0x50` is not a whole number"},
		{"last below first", add("a", m+11, m+10, ""), 2, fmt.Sprintf("%d is below -min %d", m+10, m+11)},
		{"other protocol", add("a", m+10, m+11, "-proto sctp"), 2, "`sctp` is not tcp or udp"},
		{"name taken", add("http", m+10, m+11, ""), 1, "http"},
		{"name taken in another protocol", add("dns", m+10, m+11, "-proto tcp"), 1, "dns"},
		{"same ports", add("a", m, m+5, ""), 1, "http"},
		{"overlap of one port at the start", add("a", m-1, m, ""), 1, "http"},
		{"overlap of one port at the end", add("a", m+5, m+6, ""), 1, "http"},
		{"overlap inside", add("a", m+2, m+3, ""), 1, "http"},
		{"overlap around", add("a", m-1, m+6, ""), 1, "http"},
		{"overlap of UDP", add("a", m+5, m+6, "-proto udp"), 1, "dns"},
		{"clear over live leases", add("a", m+10, m+11, "-clear"), 1, "(-f forces it)"},
		{"file and name", words("port add -p x.properties -n a"), 2, "option -p names a file of ranges"},
		{"surplus word", add("a", m+10, m+11, "b"), 2, "unexpected word `b`"},
		{"delete over live leases", words("port del -n http"), 1, "(-f forces it)"},
		{"delete some over live leases", words("port del -n *"), 1, "http"},
		{"delete without a name", words("port del"), 2, "option -n is missing"},
		{"delete what a shell expanded", words("port del -n a b c"), 2, "did your shell expand `*`? quote it"},
		{"list what a shell expanded", words("port ls -n a b"), 2, "did your shell expand `*`? quote it"},
		{"archive without a revision", words("port archive"), 2, "option -rev is missing"},
		{"archive under a path", words("port archive -rev ../r"), 2, "`../r` has '/'"},
		{"unarchive what is not there", words("port unarchive -rev none"), 4, "none"},
		{"unarchive over another range", words("port unarchive -rev old"), 1, "http"},
		{"group without a command", words("port"), 2, "name one of"},
		{"unknown command of a group", words("port remove"), 2, "unknown command `remove`"},
	}
}

func badProperties(h *host, m int) []badCase {
	var cases []badCase
	for i, tt := range []struct{ name, text, says string }{
		{"last below first", fmt.Sprintf("good=%d,%d\nbad=%d,%d\n", m+10, m+11, m+13, m+12), "line 2"},
		{"no number", fmt.Sprintf("good=%d\nbad=x\n", m+10), "line 2"},
		{"no value", fmt.Sprintf("good=%d\nbad\n", m+10), "line 2"},
		{"no name", fmt.Sprintf("good=%d\n=%d\n", m+10, m+12), "line 2"},
		{"three numbers", fmt.Sprintf("bad=%d,%d,%d\n", m+10, m+11, m+12), "line 1"},
		{"port above 65535", "bad=65530,65540\n", "line 1"},
		{"port 0", "bad=0,5\n", "line 1"},
		{"bad name", fmt.Sprintf("a/b=%d\n", m+10), "a/b"},
		{"name twice", fmt.Sprintf("a=%d\na=%d\n", m+10, m+11), "a"},
		{"overlap in the file", fmt.Sprintf("a=%d,%d\nb=%d,%d\n", m+10, m+12, m+12, m+13), "overlaps"},
		{"overlap with another range", fmt.Sprintf("a=%d,%d\nb=%d,%d\n", m+10, m+12, m+5, m+6), "http"},
		{"name taken", fmt.Sprintf("a=%d\nhttp=%d\n", m+10, m+12), "http"},
		{"bad escape", "a=\\u12\n", "line 1"},
		{"not UTF-8", "a\xff=1\n", "p"},
		{"comments only", "# nothing\n", "no range in it"},
		{"empty", "", "no range in it"},
	} {
		file := fmt.Sprintf("p%d.properties", i)
		h.write(file, tt.text)
		cases = append(cases, badCase{tt.name, words("port add -p " + file), 1, tt.says})
	}
	h.write("good.properties", fmt.Sprintf("a=%d,%d\n", m+10, m+12))
	return append(cases,
		badCase{"clear over live leases", words("port add -p good.properties -clear"), 1, "(-f forces it)"},
		badCase{"no file", words("port add -p none.properties"), 1, "none.properties"},
		badCase{"folder", words("port add -p demo"), 1, "demo"},
		badCase{"file without its option's value", words("port add -p"), 2, "option -p needs a value"},
	)
}

func badOptions() []badCase {
	return []badCase{
		{"unknown command", words("frob"), 2, "unknown command `frob`"},
		{"misspelt command", words("exce -d demo"), 2, "did you mean exec?"},
		{"command in other case", words("PS"), 2, "unknown command `PS`"},
		{"empty command", words("''"), 2, "unknown command"},
		{"unknown option", words("ps -frob"), 2, "unknown option -frob"},
		{"unknown option of two dashes", words("ps --frob"), 2, "unknown option --frob"},
		{"three dashes", words("ps ---ports"), 2, "unknown option ---ports"},
		{"bundled options", words("port del -fn dns"), 2, "unknown option -fn"},
		{"option before the command", words("-hard kill all"), 2, "unknown option -hard"},
		{"value for a switch", words("ps -ports=maybe"), 2, "maybe"},
		{"option twice", words("ps -o json -o yaml"), 2, "option -o is given twice"},
		{"no value", words("ps -o"), 2, "option -o needs a value"},
		{"option for a value", words("exec -d -v 1.0 -p test"), 2, "option -d needs a value"},
		{"empty value", words("exec -d= -v 1.0 -p test"), 2, "option -d is empty"},
		{"other format", words("ps -o xml"), 2, "`xml` is not table, json or yaml"},
		{"other host", words("ps -cluster otherhost.example"), 1, "there is no host `otherhost.example`"},
		{"other host among this one", words("kill all -cluster localhost,otherhost.example"), 1, "there is no host `otherhost.example`"},
		{"surplus word", words("ls demo"), 2, "unexpected word `demo`"},
		{"surplus words that a shell expanded", words("exec -d a.zip b.zip -v 1.0 -p test"), 2, "did your shell expand `*`? quote it"},
		{"stop with an id", words("stop 1"), 2, "to stop processes: berth kill"},
		{"help on an unknown command", words("man frob"), 2, "unknown command `frob`"},
		{"no lines", words("logs -n x 1"), 2, "`x` is not a whole number"},
		{"negative lines", words("logs -n -3 1"), 2, "-3"},
		{"pause of a word", words("pause -t soon"), 2, "`soon` is not a number of seconds"},
		{"control characters", []string{"ps", "-o", "\x1b[2J\nx"}, 2, "is not table, json or yaml"},
		{"not UTF-8", []string{"ps", "-o", "\xff\xfe"}, 2, "is not table, json or yaml"},
	}
}

func badProcesses() []badCase {
	exec := func(more string) []string { return words("exec -d demo -v 1.0 -p test -n httpServer " + more) }
	return []badCase{
		{"exec without a distribution", words("exec -v 1.0 -p test"), 2, "option -d is missing"},
		{"exec without a version", words("exec -d demo -p test"), 2, "option -v is missing"},
		{"exec without a profile", words("exec -d demo -v 1.0"), 2, "option -p is missing"},
		{"exec of no distribution", words("exec -d none -v 1.0 -p test"), 1, "none 1.0 is not deployed"},
		{"exec of no version", words("exec -d demo -v 9 -p test"), 1, "demo 9 is not deployed"},
		{"exec of no process", words("exec -d demo -v 1.0 -p test -n none"), 1, `no process "none"`},
		{"exec of no profile", words("exec -d demo -v 1.0 -p none -n httpServer"), 1, `no profile "none"`},
		{"exec of a process that must be named", words("exec -d demo -v 1.0 -p test"), 1, "add -n httpServer"},
		{"no instance", exec("-i 0"), 2, "option -i: `0` is not between 1"},
		{"negative instances", exec("-i -1"), 2, "-1"},
		{"half an instance", exec("-i 1.5"), 2, "`1.5` is not a whole number"},
		{"a million instances", exec("-i 1000000"), 2, "is not between"},
		{"more instances than ports", exec("-i 6"), 1, "range http"},
		{"two counts", exec("-i 1 2"), 2, "unexpected word `2`"},
		{"wait for nothing", exec("-w=0"), 2, "`0` is not above 0"},
		{"negative wait", exec("-w=-5"), 2, "`-5` is not above 0"},
		{"wait for ever", exec("-w 99999999"), 2, "at most 86400 seconds"},
		{"infinite wait", exec("-w=Inf"), 2, "`Inf` is not above 0"},
		{"no number to wait for", exec("-w=NaN"), 2, "`NaN` is not above 0"},
		{"wait for a word", exec("-w 3x"), 2, "`3x` is not a number of seconds"},
		{"no such range", words("exec -d more -v 2.0 -p test -n norange"), 1, `process "norange" needs a port of range "nosuch"`},
		{"no such program", words("exec -d more -v 2.0 -p test"), 1, `program "no-such-program" is not on the PATH`},
		{"no such file", words("exec -d more -v 2.0 -p test -n nofile"), 1, `program "./no/such/file" is not there`},
		{"not executable", words("exec -d more -v 2.0 -p test -n noexec"), 1, "is not executable"},
		{"magnet", words("exec -d more -v 2.0 -p test -n magnet"), 1, "magnet"},
		{"circle of variables", words("exec -d more -v 2.0 -p test -n circle"), 1, "circle"},
		{"more than its instances", words("exec -d more -v 2.0 -p test -n one -i 2"), 1, "may have 1"},
		{"one bad process among good ones", words("exec -d * -v * -p test -n *"), 1, "nosuch"},
		{"ps of no id", words("ps -i 99"), 4, "99"},
		{"ps of an id and no id", words("ps -i 1 99"), 4, "99"},
		{"ps of a word", words("ps -i x"), 2, "`x` is not a whole number"},
		{"ps of id 0", words("ps -i 0"), 2, "`0` is not between 1"},
		{"ps of an id without one", words("ps -i"), 2, "option -i needs a value"},
		{"ps of a foreign pid", words("ps -op 1"), 4, "pid 1"},
		{"ps of half a port", words("ps -pr 8080"), 2, "is not RANGE:PORT"},
		{"ps of no port", words("ps -pr http:x"), 2, "behind the colon"},
		{"kill of nothing", words("kill"), 2, "say what to stop"},
		{"kill by force of nothing", words("kill -hard -w"), 2, "say what to stop"},
		{"kill of all and one", words("kill all -i 1"), 2, "`all` goes without -i 1"},
		{"kill of a bare id", words("kill 1"), 2, "an id stands behind -i"},
		{"kill of no id", words("kill -i 99"), 4, "99"},
		{"kill of one and no id", words("kill -i 1 99"), 4, "99"},
		{"kill of a foreign pid", words("kill -op 1"), 4, "pid 1"},
		{"kill of what a shell expanded", words("kill -n a b"), 2, "did your shell expand `*`? quote it"},
		{"restart of nothing", words("restart"), 2, "say what to restart"},
		{"restart of no id", words("restart -i 99"), 4, "99"},
		{"restart of one and no id", words("restart -i 1 99"), 4, "99"},
		{"start of an app file that is not there", words("start none.yaml"), 1, "the app file cannot be read: stat none.yaml"},
		{"logs of no id", words("logs 99"), 4, "99"},
		{"logs of a bad count of lines", words("logs 1 -n many"), 2, "many"},
		{"logs of nothing", words("logs"), 2, "missing"},
		{"undeploy of what runs", words("undeploy -d demo -v 1.0"), 1, "demo 1.0"},
		{"undeploy of all while one runs", words("undeploy -d * -v *"), 1, "demo 1.0"},
		{"undeploy without a version", words("undeploy -d demo"), 2, "option -v is missing"},
		{"undeploy of what a shell expanded", words("undeploy -v 1.0 -d a b"), 2, "did your shell expand `*`? quote it"},
	}
}

func badScripts(h *host) []badCase {
	h.write("usage.berth", "# a comment\n\nps -frob\necho never\n")
	h.write("refused.berth", "\nport del -n http # live\n")
	h.write("notthere.berth", "kill -i 99")
	h.write("quote.berth", "\n\nport ls -n \"http\n")
	h.write("again.berth", "script again.berth\n")
	h.write("outer.berth", "\nscript usage.berth\n")
	h.write("serve.berth", "serve\n")
	h.write("binary.berth", "\x00\x01\x02\n")
	if err := os.Mkdir(filepath.Join(h.dir, "folder.berth"), 0o700); err != nil {
		h.t.Fatal(err)
	}
	return []badCase{
		{"wrong usage", words("script usage.berth"), 2, "usage.berth:3: ps: unknown option -frob"},
		{"refused", words("script refused.berth"), 1, "refused.berth:2: port del: "},
		{"not there", words("script notthere.berth"), 4, "notthere.berth:1: kill: "},
		{"quote that does not end", words("script quote.berth"), 2, "quote.berth:3: "},
		{"script that runs itself", words("script again.berth"), 1, "does again.berth run itself?"},
		{"script within a script", words("script outer.berth"), 2, "usage.berth:3: ps: unknown option -frob"},
		{"daemon in a script", words("script serve.berth"), 2, "serve.berth:1: "},
		{"no text", words("script binary.berth"), 2, "binary.berth:1: "},
		{"no file", words("script none.berth"), 1, "none.berth"},
		{"folder", words("script folder.berth"), 1, "folder.berth"},
		{"nothing named", words("script"), 2, "missing"},
		{"two files", words("script usage.berth refused.berth"), 2, "unexpected word"},
	}
}
