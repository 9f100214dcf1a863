package server

import (
	"context"
	"encoding/json"

	"berth/access"
	"berth/lease"
	"berth/server/portmaster"
	"berth/store"
)

// portmaster is what the adapter of django-portmaster's calls works with.
func (s *Server) portmaster() portmaster.Options {
	return portmaster.Options{
		Leases: s.opts.Leases, Store: s.opts.Keys, Now: s.opts.Now, TTL: s.opts.OfferTTL, Logger: s.log,
		Grant: s.grant,
		Owner: func(ctx context.Context) string {
			owner, _ := access.From(ctx).Acts("") // which everybody may
			return owner
		},
		Owns:   func(ctx context.Context, l lease.Lease) error { return ownsLease(ctx, string(l.ID), l.Holder.Owner) },
		Within: s.withinQuota,
		Note:   noteBody,
		Once:   s.onceOffered,
		Fail:   func(ctx context.Context, method, path string, err error) error { return s.fail(ctx, method, path, err) },
	}
}

// onceOffered has an offer made once for a key.
func (s *Server) onceOffered(ctx context.Context, field, operation string, body any, work func(portmaster.Attempt) error) (*portmaster.Before, error) {
	key := ""
	if field != "" {
		var err error
		if key, err = parseKey(field); err != nil {
			return nil, err
		}
	}
	return once(ctx, s, field, operation, bodyText(body), func(q *keyed) (*portmaster.Before, error) {
		return nil, work(portmaster.Attempt{Key: key, Record: func(note json.RawMessage) store.Batch {
			if q == nil {
				return store.Batch{}
			}
			return q.record(keyNote{Answer: note})
		}})
	}, func(note *keyNote) (*portmaster.Before, error) {
		return &portmaster.Before{Key: key, Note: note.Answer}, nil
	})
}
