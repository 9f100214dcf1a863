package descriptor

import (
	"cmp"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// AppProfile is the one profile of the processes of an app file.
const AppProfile = "default"

// AppVersion is the version of an app file that gives none.
const AppVersion = "1.0"

// The keys of an app file. The table of an app has those of PMDaemon and a few
// of Berth's own; the latter are restart, version and the name of the file.
var (
	fileKeys = []string{"apps", "name", "version", "cwd", "$schema"}

	appKeys = []string{"name", "script", "args", "interpreter", "interpreter_args", "cwd", "env", "instances", "port",
		"autorestart", "restart", "max_restarts", "min_uptime", "restart_delay", "kill_timeout",
		"health_check_url", "health_check_timeout", "health_check_interval", "health_check_retries", "health_check", "namespace"}

	healthKeys = []string{"url", "timeout", "interval", "retries", "type", "enabled"}

	// ignoredAppKeys are known, and why nothing comes of them is told.
	ignoredAppKeys = map[string]string{
		"max_memory_restart":  "Berth does not restart a process for its memory",
		"exec_mode":           "every instance is a process of its own",
		"out_file":            "output goes to the process' own log: berth logs ID",
		"error_file":          "output goes to the process' own log: berth logs ID",
		"log_file":            "output goes to the process' own log: berth logs ID",
		"pid_file":            "berth ps shows the pid",
		"watch":               "Berth does not watch files",
		"ignore_watch":        "Berth does not watch files",
		"user":                "processes run as the user of the daemon",
		"group":               "processes run as the user of the daemon",
		"health_check_script": "only health_check_url is looked at",
		"node_args":           "put them into interpreter_args",
	}
)

// The defaults of PMDaemon, for what an app file leaves out.
const (
	appMaxRestarts = 16
	appMinUptime   = time.Second
	appKillTimeout = 1600 * time.Millisecond

	appHealthTimeout  = 10 * time.Second
	appHealthInterval = 30 * time.Second
	appHealthRetries  = 3
)

// ParseApps reads an app file of at most 1 MiB, as PMDaemon has them, in JSON,
// YAML or TOML: each app is a process of one profile, [AppProfile], with a
// generic starter, that starts without being named. The format is told by the
// end of name (.json, .yaml, .yml, .toml), else by the text. The distribution is
// called as the file says by "name" and "version"; without them its name is that
// of the file, without folders and ending, and its version [AppVersion].
//
// What is wrong with the text is an [InvalidError], and ErrInvalid.
func ParseApps(name string, text []byte) (*Distribution, error) {
	if len(text) > maxDescriptorBytes {
		return nil, invalid("the text is larger than %d bytes", maxDescriptorBytes)
	}
	text, err := utf8Text(text)
	if err != nil {
		return nil, err
	}
	values, err := readTables(name, text)
	if err != nil {
		return nil, err
	}
	values = listed(values)
	file := &table{r: &reader{}, path: "app file", values: values}
	file.check(fileKeys, nil)
	d := &Distribution{
		Name:    cmp.Or(file.text("name"), strings.TrimSuffix(path.Base(name), path.Ext(name))),
		Version: cmp.Or(file.text("version"), AppVersion),
	}
	for _, part := range []struct{ key, value string }{{"name", d.Name}, {"version", d.Version}} {
		if why := nameProblem(part.value); why != "" {
			file.problem("%s %s %s: give it another by the key %q", part.key, quote(part.value), why, part.key)
		}
	}
	list, ok := file.values["apps"].([]any)
	if !ok || len(list) == 0 {
		file.problem("there are no apps: it begins with a list \"apps\" of tables with \"name\" and \"script\"")
	}
	if len(list) > maxElements {
		return nil, invalid("there are more than %d apps", maxElements)
	}
	names := map[string]bool{}
	for i, value := range list {
		values, ok := value.(map[string]any)
		app := &table{r: file.r, path: fmt.Sprintf("app %d", i+1), values: values}
		if !ok {
			app.problem("it is not a table with \"name\" and \"script\"")
			continue
		}
		if name, ok := values["name"].(string); ok && name != "" {
			app.path = "app " + quote(name)
		}
		p := app.process(file.text("cwd"))
		if p.Name != "" && names[p.Name] {
			app.problem("the name is taken by an earlier app")
		}
		names[p.Name] = true
		d.Processes = append(d.Processes, p)
	}
	if err := file.r.wrong(); err != nil {
		return nil, err
	}
	d.Warnings = file.r.said()
	return d, nil
}

// listed is a file with its list of apps, made where the file is one app by
// itself.
func listed(values map[string]any) map[string]any {
	if _, alone := values["script"]; !alone || values["apps"] != nil {
		return values
	}
	app := map[string]any{}
	file := map[string]any{"apps": []any{app}}
	for key, value := range values {
		switch key {
		case "version", "$schema":
			file[key] = value
		case "name":
			file[key], app[key] = value, value
		default:
			app[key] = value
		}
	}
	return file
}

// process reads an app. Its folder, where it gives none, is cwd.
func (t *table) process(cwd string) Process {
	t.check(appKeys, ignoredAppKeys)
	p := Process{
		Name:            t.filled("name"),
		Instances:       t.integer("instances", 1, 1, maxExecInstances),
		Cwd:             cmp.Or(t.text("cwd"), cwd),
		ShutdownTimeout: t.duration("kill_timeout", time.Millisecond, appKillTimeout, 0),
		MaxKillRetry:    3,
		PollInterval:    10 * time.Second, StatusInterval: 30 * time.Second, PollTimeout: -time.Second,
		Restart:      t.restart(),
		MaxRestarts:  t.integer("max_restarts", appMaxRestarts, 0, maxRestarts),
		MinUptime:    t.duration("min_uptime", time.Millisecond, appMinUptime, 0),
		RestartDelay: t.duration("restart_delay", time.Millisecond, 0, 0),
		Health:       t.health(),
		Ports:        t.ports(),
	}
	if why := nameProblem(p.Name); p.Name != "" && why != "" {
		t.problem("the name %s", why)
	}
	for _, port := range p.Ports {
		if port.Spec == nil || port.Spec.Size() == 0 || port.Spec.Size() >= p.Instances {
			continue
		}
		t.problem("port range %d-%d has only %s but %d instances are asked for", port.Spec.First, port.Spec.Last, count(port.Spec.Size(), "port"), p.Instances)
	}
	if space := t.text("namespace"); space != "" && space != "default" {
		t.warn("namespace %s is ignored: put apps that belong together into one file", quote(space))
	}
	s := Starter{Kind: Generic, Profile: AppProfile, Env: t.pairs("env")}
	words := append(t.words("interpreter_args"), t.filled("script"))
	if interpreter := t.text("interpreter"); interpreter != "" && interpreter != "none" {
		words = append([]string{interpreter}, words...)
	}
	for _, word := range append(words, t.words("args")...) {
		s.Args = append(s.Args, Arg{Value: word})
	}
	p.Starters = []Starter{s}
	return p
}

// count is a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// restart reads when an app is started again by itself: "restart" is Berth's
// own and exact; "autorestart" is on where it is left out, for crashes.
func (t *table) restart() RestartPolicy {
	if word := t.text("restart"); word != "" {
		policy, ok := restartPolicy(word)
		if !ok {
			t.problem("\"restart\": %s is none of \"never\", \"on-failure\" and \"always\"", quote(word))
		}
		return policy
	}
	if t.boolean("autorestart", true) {
		return RestartOnFailure
	}
	return RestartNever
}

// ports reads "port": one of the grammar of [PortSpec], a number, or a list of
// them. One that is not of a range is called port, the next ones port2 and so on.
func (t *table) ports() []Port {
	value, ok := t.values["port"]
	if !ok || value == nil {
		return nil
	}
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	var ports []Port
	direct := 0
	for _, value := range list {
		text, ok := scalar(value)
		if !ok {
			t.problem("\"port\" is none of a text, a number and a list of them")
			return nil
		}
		spec, err := ParsePortSpec(text)
		if err != nil {
			t.problem("%s", err)
			continue
		}
		port := Port{Name: spec.Range, Count: 1}
		if spec.Range == "" {
			direct++
			port.Name = "port"
			if direct > 1 {
				port.Name = "port" + strconv.Itoa(direct)
			}
			port.Spec = &spec
		}
		if slices.ContainsFunc(ports, func(o Port) bool { return o.Name == port.Name }) {
			t.problem("\"port\": %s stands twice", quote(port.Name))
			continue
		}
		ports = append(ports, port)
	}
	return ports
}

// health reads how an app is asked how it is: by the keys health_check_…, or by
// a table health_check.
func (t *table) health() *HealthCheck {
	in, prefix := t, "health_check_"
	if nested, ok := t.values["health_check"].(map[string]any); ok {
		in, prefix = &table{r: t.r, path: t.path + ": health_check", values: nested}, ""
		in.check(healthKeys, nil)
		if !in.boolean("enabled", true) {
			return nil
		}
		if kind := in.text("type"); kind != "" && kind != "http" {
			in.warn("type %s is ignored: only http is looked at", quote(kind))
			return nil
		}
	} else if t.values["health_check"] != nil {
		t.problem("\"health_check\" is not a table")
	}
	h := &HealthCheck{
		URL:      in.text(prefix + "url"),
		Timeout:  in.duration(prefix+"timeout", time.Second, appHealthTimeout, time.Millisecond),
		Interval: in.duration(prefix+"interval", time.Second, appHealthInterval, time.Millisecond),
		Retries:  in.integer(prefix+"retries", appHealthRetries, 1, 1000),
	}
	if h.URL == "" {
		return nil
	}
	// A variable may stand where a port does.
	plainURL := strings.NewReplacer("${", "", "$<", "", "}", "", ">", "").Replace(h.URL)
	if u, err := url.Parse(plainURL); !strings.Contains(h.URL, "$") && (err != nil || u.Host == "") ||
		!strings.HasPrefix(h.URL, "http://") && !strings.HasPrefix(h.URL, "https://") {
		in.problem("%q: %s is no address that begins with http:// or https://", prefix+"url", quote(h.URL))
	}
	return h
}
