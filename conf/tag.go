package conf

import (
	"context"
	"slices"
	"strings"

	"berth/lease"
	"berth/store"
)

// Tags returns the tags of the server, in order.
func (c *Settings) Tags(ctx context.Context) ([]string, error) {
	c.changing.RLock()
	defer c.changing.RUnlock()
	return c.tags(ctx)
}

func (c *Settings) tags(ctx context.Context) ([]string, error) {
	entries, err := c.list(ctx, tagFolder)
	if err != nil {
		return nil, err
	}
	tags := make([]string, len(entries))
	for i, e := range entries {
		tags[i] = unescape(e.Key)
	}
	slices.Sort(tags)
	return tags, nil
}

// AddTags gives the server tags, all or none; with clear it has no others
// afterwards. Its errors are ErrInvalid and the store's.
func (c *Settings) AddTags(ctx context.Context, tags []string, clear bool) error {
	for _, tag := range tags {
		if err := checkWord("tag", tag); err != nil {
			return err
		}
	}
	tags = slices.Compact(slices.Sorted(slices.Values(tags)))
	return c.change(ctx, func(ctx context.Context) (b store.Batch, err error) {
		if clear {
			have, err := c.tags(ctx)
			if err != nil {
				return b, err
			}
			for _, tag := range have {
				if !slices.Contains(tags, tag) {
					b.Delete(c.tagKey(tag))
				}
			}
		}
		for _, tag := range tags {
			b.Put(c.tagKey(tag), nil)
		}
		return b, nil
	})
}

// DeleteTags takes the tags that fit the pattern from the server, and returns
// them. None is no error.
func (c *Settings) DeleteTags(ctx context.Context, pattern string) (deleted []string, err error) {
	err = c.change(ctx, func(ctx context.Context) (b store.Batch, err error) {
		have, err := c.tags(ctx)
		for _, tag := range have {
			if lease.Match(pattern, tag) {
				deleted = append(deleted, tag)
				b.Delete(c.tagKey(tag))
			}
		}
		return b, err
	})
	if err != nil {
		return nil, err
	}
	return deleted, nil
}

// Renaming is a tag with its new name.
type Renaming struct{ From, To string }

// RenameTags gives tags other names, all or none, and returns what was renamed.
// A tag that the server does not have stays away.
func (c *Settings) RenameTags(ctx context.Context, renamings []Renaming) (done []Renaming, err error) {
	for _, r := range renamings {
		if err := checkWord("tag", r.To); err != nil {
			return nil, err
		}
	}
	err = c.change(ctx, func(ctx context.Context) (b store.Batch, err error) {
		have, err := c.tags(ctx)
		if err != nil {
			return b, err
		}
		now := slices.Clone(have)
		for _, r := range renamings {
			i := slices.Index(now, r.From)
			if i < 0 {
				continue
			}
			now[i] = r.To
			done = append(done, r)
		}
		for _, tag := range have {
			if !slices.Contains(now, tag) {
				b.Delete(c.tagKey(tag))
			}
		}
		for _, tag := range slices.Compact(slices.Sorted(slices.Values(now))) {
			if !slices.Contains(have, tag) {
				b.Put(c.tagKey(tag), nil)
			}
		}
		return b, nil
	})
	if err != nil {
		return nil, err
	}
	return done, nil
}

func (c *Settings) tagKey(tag string) string { return c.folder() + tagFolder + escape(tag) }

// ParseTags reads tags parted by commas and line ends.
func ParseTags(text string) []string {
	var tags []string
	for _, tag := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == '\n' || r == '\r' }) {
		if tag = strings.TrimSpace(tag); tag != "" {
			tags = append(tags, tag)
		}
	}
	return tags
}
