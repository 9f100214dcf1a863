package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// unseenCmd fails where a text can be seen that must not be: on the command
// line of a process of the script's state folder, in the log of its daemon, in
// the output of a process, or in a file that others may read: unseen TEXT
func unseenCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: unseen TEXT")
	}
	text := []byte(args[0])
	home := ts.Getenv("BERTH_HOME")
	processes := 0
	found, err := filepath.Glob("/proc/[0-9]*")
	ts.Check(err)
	for _, dir := range found {
		env, err := os.ReadFile(filepath.Join(dir, "environ"))
		if err != nil || !bytes.Contains(env, []byte("BERTH_HOME="+home+"\x00")) {
			continue // another's, or gone
		}
		processes++
		if line, err := os.ReadFile(filepath.Join(dir, "cmdline")); err == nil && bytes.Contains(line, text) {
			ts.Fatalf("%s shows it: %q", dir, line)
		}
	}
	if processes < 2 {
		ts.Fatalf("only %d processes were looked at", processes)
	}
	logs := 0
	ts.Check(filepath.WalkDir(home, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		isLog := strings.HasSuffix(path, ".log") || strings.HasSuffix(path, ".out")
		if info.Mode().Perm()&0o077 == 0 && !isLog {
			return nil // its owner's alone
		}
		if isLog {
			logs++
		}
		content, err := os.ReadFile(path)
		if err == nil && bytes.Contains(content, text) {
			ts.Fatalf("%s (%v) shows it", path, info.Mode())
		}
		return err
	}))
	if logs < 2 {
		ts.Fatalf("only %d logs were looked at", logs)
	}
}
