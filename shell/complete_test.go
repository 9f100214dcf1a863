package shell_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"berth/client"
	"berth/shell"
)

func TestComplete(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.zip", "b.zip", "a[b"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, line string
		want       string // the values, parted by blanks
	}{
		{"commands", "p", "port ps pause"},
		{"a group", "port ", "add update del ls who archive unarchive"},
		{"in a group", "port a", "add archive"},
		{"behind the program's name", "berth port a", "add archive"},
		{"behind an unknown command", "frob ", ""},
		{"one dash", "port del -", "-n -f -o -h -cluster"},
		{"two dashes", "port del --", "--name --force --output --help --cluster"},
		{"a dash and letters", "port add -m", "-min -max"},
		{"options where no word stands", "port del ", "-n -f -o -h -cluster"},
		{"ranges", "port del -n ", "http syslog"},
		{"ranges that begin so", "port del -n h", "http"},
		{"ranges in quotes", `port del -n "h`, "http"},
		{"formats", "ps -o ", "table json yaml"},
		{"roles", "token add -role ", "read lease exec admin"},
		{"tokens", "token del -n ", "ci"},
		{"commands on leases", "lease ", "acquire renew release ls"},
		{"formats of leases", "lease acquire -o ", "port env table json yaml"},
		{"ranges to lease from", "lease acquire -n h", "http"},
		{"leases", "lease release ", "l1 l2"},
		{"owners", "lease ls -owner ", "turn1"},
		{"protocols", "port add -proto u", "udp"},
		{"policies", "port update -policy ", "lowest next random"},
		{"distributions", "exec -d ", "demo"},
		{"versions", "exec -d demo -v ", "1.0"},
		{"profiles", "exec -p ", "test"},
		{"process names", "exec -n ", "httpServer worker"},
		{"ids", "kill -i ", "1 2"},
		{"more ids", "kill -i 1 ", "1 2"},
		{"pids", "kill -op 4", "4711"},
		{"ports", "ps -pr ", "http:* http:8080 http:8081 syslog:*"},
		{"names", "kill ", "httpServer worker all"},
		{"names and ids of logs", "logs ", "httpServer worker 1 2"},
		{"names of logs", "logs w", "worker"},
		{"behind a flag", "kill -hard ", "httpServer worker all"},
		{"files", "deploy " + dir + "/a", dir + "/a.zip " + dir + "/a[b"},
		{"files with odd names", "deploy " + dir + "/a[", dir + "/a[b"},
		{"folders", "script " + dir + "/f", dir + "/folder/"},
		{"manual", "man p", "port ps pause"},
		{"manual of a group", "man port a", "add archive"},
		{"behind an option's =", "ps --output=j", "--output=json"},
		{"behind the = of a letter", "exec -d=", "-d=demo"},
		{"names of a distribution", "exec -d demo -n ", "httpServer worker"},
		{"ranges to ask", "http check -p h", "http"},
		{"ids to ask", "diags -i ", "1 2"},
		{"of what is counted", "count p", "port ps pause"},
		{"its options", "count -a 3 ps -por", "-ports"},
		{"its values", "count ps -n h", "httpServer"},
		{"a number to count", "count -a ", ""},
		{"alias", "alias d", "del"},
		{"behind a value", "port ls -n http -", "-n -o -h -cluster"},
	}
	d := sample(newDaemon(t))
	c := client.New(client.Options{Socket: d.socket, Start: func(context.Context) error {
		t.Error("completion started a daemon")
		return nil
	}})
	t.Cleanup(c.Close)
	s := shell.New(shell.Options{Client: c})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, c := range s.Complete(t.Context(), tt.line) {
				got = append(got, c.Value)
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("%q: %q, want %q", tt.line, got, tt.want)
			}
		})
	}
	t.Run("all commands", func(t *testing.T) {
		var got, want []string
		for _, c := range s.Complete(t.Context(), "") {
			got = append(got, c.Value)
		}
		for _, c := range shell.Described() {
			if c.Path != "" && !strings.Contains(c.Path, " ") {
				want = append(want, c.Path)
			}
		}
		if want = append(want, "exit"); !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	})
	t.Run("no daemon", func(t *testing.T) {
		c := client.New(client.Options{Socket: filepath.Join(dir, "none"), Start: func(context.Context) error {
			t.Error("completion started a daemon")
			return nil
		}})
		t.Cleanup(c.Close)
		for _, line := range []string{"port del -n ", "exec -d ", "kill -i "} {
			if got := shell.New(shell.Options{Client: c}).Complete(t.Context(), line); len(got) != 0 {
				t.Errorf("%q: %v", line, got)
			}
		}
	})
}

func FuzzComplete(f *testing.F) {
	f.Add("port add -n ")
	f.Add(`kill -i 1 "`)
	f.Add("-cluster port -")
	d := sample(newDaemon(f))
	c := client.New(client.Options{Socket: d.socket})
	f.Cleanup(c.Close)
	s := shell.New(shell.Options{Client: c})
	f.Fuzz(func(t *testing.T, line string) {
		if strings.Contains(line, "/") {
			return // the files of this machine are not looked at
		}
		s.Complete(t.Context(), line)
	})
}
