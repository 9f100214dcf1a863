package conf

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"berth/descriptor"
	"berth/lease"
	"berth/store"
)

// ExecConfig is an exec configuration that was deployed: processes that are
// started together.
type ExecConfig struct {
	Name        string
	StartOnBoot bool
	Enabled     bool // one that is not starts nothing
	Processes   []descriptor.ExecProcess
}

// execRecord is what is stored of one.
type execRecord struct {
	StartOnBoot bool          `json:"startOnBoot,omitempty"`
	Disabled    bool          `json:"disabled,omitempty"`
	Processes   []execProcess `json:"processes"`
}

type execProcess struct {
	Distribution string `json:"distribution"`
	Version      string `json:"version"`
	Name         string `json:"name"`
	Profile      string `json:"profile"`
	Instances    int    `json:"instances,omitempty"`
}

func (x ExecConfig) record() []byte {
	r := execRecord{StartOnBoot: x.StartOnBoot, Disabled: !x.Enabled, Processes: []execProcess{}}
	for _, p := range x.Processes {
		r.Processes = append(r.Processes, execProcess(p))
	}
	value, err := json.Marshal(r)
	if err != nil {
		panic(err) // plain texts and numbers
	}
	return value
}

// DeployExec keeps an exec configuration, enabled, in place of the one of its name.
func (c *Settings) DeployExec(ctx context.Context, x *descriptor.Exec) (ExecConfig, error) {
	deployed := ExecConfig{Name: x.Name, StartOnBoot: x.StartOnBoot, Enabled: true, Processes: x.Processes}
	if err := checkWord("exec configuration", x.Name); err != nil {
		return ExecConfig{}, err
	}
	err := c.change(ctx, func(context.Context) (b store.Batch, err error) {
		b.Put(c.folder()+execFolder+escape(x.Name), deployed.record())
		return b, nil
	})
	return deployed, err
}

// ExecConfigs returns the exec configurations whose names fit the pattern,
// ordered by name.
func (c *Settings) ExecConfigs(ctx context.Context, pattern string) ([]ExecConfig, error) {
	c.changing.RLock()
	defer c.changing.RUnlock()
	return c.execConfigs(ctx, pattern)
}

func (c *Settings) execConfigs(ctx context.Context, pattern string) ([]ExecConfig, error) {
	entries, err := c.list(ctx, execFolder)
	if err != nil {
		return nil, err
	}
	var found []ExecConfig
	for _, e := range entries {
		name := unescape(e.Key)
		if !lease.Match(pattern, name) {
			continue
		}
		var r execRecord
		if err := json.Unmarshal(e.Value, &r); err != nil {
			return nil, fmt.Errorf("the record of exec configuration %q cannot be read (undeploy it): %w", name, err)
		}
		x := ExecConfig{Name: name, StartOnBoot: r.StartOnBoot, Enabled: !r.Disabled}
		for _, p := range r.Processes {
			x.Processes = append(x.Processes, descriptor.ExecProcess(p))
		}
		found = append(found, x)
	}
	slices.SortFunc(found, func(a, b ExecConfig) int { return cmp.Compare(a.Name, b.Name) })
	return found, nil
}

// UndeployExecs deletes the exec configurations whose names fit the pattern, and
// returns their names. None is no error. What runs goes on.
func (c *Settings) UndeployExecs(ctx context.Context, pattern string) (names []string, err error) {
	err = c.change(ctx, func(ctx context.Context) (b store.Batch, err error) {
		entries, err := c.list(ctx, execFolder)
		for _, e := range entries {
			if name := unescape(e.Key); lease.Match(pattern, name) {
				names = append(names, name)
				b.Delete(c.folder() + execFolder + e.Key)
			}
		}
		return b, err
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	return names, nil
}

// EnableExecs has the exec configurations whose names fit the pattern start
// their processes when they are asked to, or no more, and returns them.
func (c *Settings) EnableExecs(ctx context.Context, pattern string, enabled bool) (found []ExecConfig, err error) {
	err = c.change(ctx, func(ctx context.Context) (b store.Batch, err error) {
		found, err = c.execConfigs(ctx, pattern)
		for i := range found {
			found[i].Enabled = enabled
			b.Put(c.folder()+execFolder+escape(found[i].Name), found[i].record())
		}
		return b, err
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// Booted returns the boot at which the exec configurations that start on boot
// were started last, empty if that never was.
func (c *Settings) Booted(ctx context.Context) (boot string, err error) {
	e, err := c.store.Get(ctx, c.folder()+bootKey)
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	return string(e.Value), err
}

// SetBooted writes down that they were started at this boot.
func (c *Settings) SetBooted(ctx context.Context, boot string) error {
	return c.change(ctx, func(context.Context) (b store.Batch, err error) {
		b.Put(c.folder()+bootKey, []byte(boot))
		return b, nil
	})
}
