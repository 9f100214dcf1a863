package conf

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"unicode/utf8"

	"berth/lease"
	"berth/store"
)

// Scope is whose a property is.
type Scope string

// The scopes.
const (
	Process Scope = "process"
	Server  Scope = "server"
)

// ParseScope reads a scope: a word that begins with p (or nothing) or with s,
// as Corus has it.
func ParseScope(text string) (Scope, error) {
	switch {
	case text == "" || strings.HasPrefix(text, "p"):
		return Process, nil
	case strings.HasPrefix(text, "s"):
		return Server, nil
	}
	return "", stated(ErrInvalid, "scope %q is neither process nor server", text)
}

// Property is a name with a value. Category is empty for a global one and for
// those of the server.
type Property struct {
	Name, Value string
	Scope       Scope
	Category    string
}

// Validate checks names and value. The error never has the value.
func (p Property) Validate() error {
	switch {
	case p.Name == "":
		return stated(ErrInvalid, "a property has no name")
	case len(p.Name) > maxName:
		return stated(ErrInvalid, "property %.40q…: a name has at most %d bytes", p.Name, maxName)
	case strings.ContainsFunc(p.Name, unprintable) || strings.ContainsAny(p.Name, "=*"):
		return stated(ErrInvalid, "property %q: a name has no =, no * and no control characters", p.Name)
	case len(p.Value) > maxValue:
		return stated(ErrInvalid, "property %q: its value has more than %d bytes", p.Name, maxValue)
	case strings.ContainsRune(p.Value, 0) || !utf8.ValidString(p.Value):
		return stated(ErrInvalid, "property %q: its value is not UTF-8 text, or has a NUL character", p.Name)
	}
	return checkCategory(p.Scope, p.Category)
}

// key is the rest of the property's key behind the folder of the host.
func (p Property) key() string { return propertyFolder(p.Scope, p.Category) + escape(p.Name) }

func propertyFolder(s Scope, category string) string {
	switch {
	case s == Server:
		return serverFolder
	case category != "":
		return categoryFolder + escape(category) + "/"
	default:
		return processFolder
	}
}

// AddProperties sets properties of a scope, in each of the categories or else
// the global ones, all or none, and returns what was set. With clear there are
// no others there afterwards. Its errors are ErrInvalid and the store's.
func (c *Settings) AddProperties(ctx context.Context, scope Scope, categories []string, pairs []Pair, clear bool) ([]Property, error) {
	categories = slices.Compact(slices.Sorted(slices.Values(categories)))
	if len(categories) == 0 {
		categories = []string{""}
	}
	var all []Property
	at := make(map[string]int) // the place of a key in all; the last of a name counts
	for _, category := range categories {
		if err := checkCategory(scope, category); err != nil {
			return nil, err
		}
		for _, pair := range pairs {
			p := Property{Name: pair.Name, Value: pair.Value, Scope: scope, Category: category}
			if err := p.Validate(); err != nil {
				return nil, err
			}
			if i, ok := at[p.key()]; ok {
				all[i] = p
				continue
			}
			at[p.key()] = len(all)
			all = append(all, p)
		}
	}
	err := c.change(ctx, func(ctx context.Context) (b store.Batch, err error) {
		for _, category := range categories {
			if !clear {
				break
			}
			folder := propertyFolder(scope, category)
			entries, err := c.list(ctx, folder)
			if err != nil {
				return b, err
			}
			for _, e := range entries {
				if _, ok := at[folder+e.Key]; !ok {
					b.Delete(c.folder() + folder + e.Key)
				}
			}
		}
		for _, p := range all {
			b.Put(c.folder()+p.key(), []byte(p.Value))
		}
		return b, nil
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

func checkCategory(scope Scope, category string) error {
	switch {
	case scope != Process && scope != Server:
		return stated(ErrInvalid, "scope %q is neither process nor server", scope)
	case category == "":
		return nil
	case scope == Server:
		return stated(ErrInvalid, "properties of the server have no category: leave out %q", category)
	}
	return checkWord("category", category)
}

// Selection selects properties.
type Selection struct {
	Scope Scope

	// Names are patterns, one of which has to fit; none is all.
	Names []string

	// Categories are patterns of categories, one of which has to fit. None is
	// the global ones, and with Every those of all categories as well.
	Categories []string
	Every      bool
}

func (s Selection) fits(p Property) bool {
	if p.Scope != s.Scope {
		return false
	}
	if len(s.Names) > 0 && !slices.ContainsFunc(s.Names, func(pattern string) bool { return lease.Match(pattern, p.Name) }) {
		return false
	}
	if len(s.Categories) == 0 {
		return p.Category == "" || s.Every
	}
	return p.Category != "" && slices.ContainsFunc(s.Categories, func(pattern string) bool { return lease.Match(pattern, p.Category) })
}

// Properties returns those that are selected, the global ones first, ordered by
// category and name.
func (c *Settings) Properties(ctx context.Context, s Selection) ([]Property, error) {
	c.changing.RLock()
	defer c.changing.RUnlock()
	return c.properties(ctx, s)
}

func (c *Settings) properties(ctx context.Context, s Selection) ([]Property, error) {
	var found []Property
	add := func(folder string, split func(key string) Property) error {
		entries, err := c.list(ctx, folder)
		for _, e := range entries {
			p := split(e.Key)
			p.Scope, p.Value = s.Scope, string(e.Value)
			if s.fits(p) {
				found = append(found, p)
			}
		}
		return err
	}
	if s.Scope == Server {
		err := add(serverFolder, func(key string) Property { return Property{Name: unescape(key)} })
		slices.SortFunc(found, byCategory)
		return found, err
	}
	err := add(processFolder, func(key string) Property { return Property{Name: unescape(key)} })
	if err == nil && (s.Every || len(s.Categories) > 0) {
		err = add(categoryFolder, func(key string) Property {
			category, name, _ := strings.Cut(key, "/")
			return Property{Name: unescape(name), Category: unescape(category)}
		})
	}
	slices.SortFunc(found, byCategory)
	return found, err
}

func byCategory(a, b Property) int {
	return cmp.Or(strings.Compare(a.Category, b.Category), strings.Compare(a.Name, b.Name))
}

// DeleteProperties deletes those that are selected, all or none, and returns
// them. None is no error.
func (c *Settings) DeleteProperties(ctx context.Context, s Selection) (deleted []Property, err error) {
	err = c.change(ctx, func(ctx context.Context) (b store.Batch, err error) {
		deleted, err = c.properties(ctx, s)
		for _, p := range deleted {
			b.Delete(c.folder() + p.key())
		}
		return b, err
	})
	if err != nil {
		return nil, err
	}
	return deleted, nil
}

// ProcessProperties returns the properties that a process of these categories is
// given, each name once and ordered by name: a category wins over the global
// ones, a later one over an earlier one.
func (c *Settings) ProcessProperties(ctx context.Context, categories []string) ([]Property, error) {
	all, err := c.Properties(ctx, Selection{Scope: Process, Every: len(categories) > 0})
	if err != nil {
		return nil, err
	}
	rank := func(p Property) int { // the last place counts where one is named twice
		if p.Category == "" {
			return 0
		}
		for i := len(categories) - 1; i >= 0; i-- {
			if categories[i] == p.Category {
				return i + 1
			}
		}
		return -1
	}
	best := make(map[string]Property)
	for _, p := range all {
		if have, ok := best[p.Name]; rank(p) >= 0 && (!ok || rank(p) >= rank(have)) {
			best[p.Name] = p
		}
	}
	var out []Property
	for _, p := range best {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b Property) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}
