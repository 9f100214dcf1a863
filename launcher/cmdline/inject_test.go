package cmdline_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"berth/descriptor"
	"berth/internal/require"
	"berth/launcher/cmdline"
)

// A real JVM reads from JAVA_TOOL_OPTIONS what was put there.
func TestInjectIntoAJVM(t *testing.T) {
	require.Tool(t, "java")
	require.Tool(t, "javac")
	dir := t.TempDir()
	source := `public class Show { public static void main(String[] names) throws Exception {
		java.io.PrintStream out = new java.io.PrintStream(System.out, true, "UTF-8");
		for (String name : names) out.print(System.getProperty(name) + "\0"); } }`
	if err := os.WriteFile(dir+"/Show.java", []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "javac", "-d", dir, dir+"/Show.java").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	given := properties("plain", "x", "empty", "", "blank", " a  b ", "double", `"a" b"`, "single", `it's`, "both", `"it's" '"' x`,
		"backslash", `\ "\" \'`, "lines", "a\nb\tc", "inherited", "no", "dollar", "$HOME `id` %x")
	starter := descriptor.Starter{Kind: descriptor.Generic, Args: []descriptor.Arg{{Value: "sh"}}, Properties: given}
	in := cmdline.Input{UserDir: dir, Starter: starter, InjectEnv: true,
		Environ: append(os.Environ(), `JAVA_TOOL_OPTIONS=-Dinherited=yes "-Dkept=a b"`)}
	command := mustBuild(t, in)
	args := []string{"-cp", dir, "Show", "kept"}
	for _, p := range given {
		args = append(args, p.Name)
	}
	java := exec.CommandContext(t.Context(), "java", args...)
	java.Env = command.Env
	out, err := java.Output()
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(string(out), "\x00")
	if got[0] != "a b" {
		t.Errorf("what was inherited is %q", got[0])
	}
	for i, p := range given {
		if got[i+1] != p.Value {
			t.Errorf("%s is %q, not %q", p.Name, got[i+1], p.Value)
		}
	}
}
