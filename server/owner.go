package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"berth/access"
	"berth/api"
	"berth/lease"
	"berth/store"
)

// maxEndings is how often leases that others change at that moment are looked up
// again to be released together.
const maxEndings = 100

func (s *Server) routeOwners(routes huma.API) {
	route(s, routes, access.Lease, huma.Operation{
		OperationID: "release-leases", Method: http.MethodDelete, Path: "/v1/leases",
		Summary: "Release all leases of an owner, or those of a range or a protocol, all or none",
	}, s.releaseLeases)
}

// Owned are leases by their owner. What processes of the launcher hold is not meant:
// those have to be killed.
type Owned struct {
	Owner    string `query:"owner" required:"true" minLength:"1" doc:"whose leases"`
	Range    string `query:"range" doc:"only those of the range of this name"`
	Protocol string `query:"protocol" enum:"tcp,udp" doc:"only those of this protocol"`
}

func (o Owned) has(l lease.Lease) bool {
	return l.Holder.Process == 0 && l.Holder.Owner == o.Owner && (o.Range == "" || l.Range == o.Range) && (o.Protocol == "" || string(l.Protocol) == o.Protocol)
}

// releaseLeases answers with what was released. So that who does not hear of it
// can ask again, a key is for this request, too.
func (s *Server) releaseLeases(ctx context.Context, in *struct {
	Keyed
	Owned
}) (*reply[[]api.Lease], error) {
	if err := access.From(ctx).Owns(in.Owner); err != nil {
		return nil, err
	}
	released, err := once(ctx, s, in.Key, "release-leases", bodyText(in.Owned), func(q *keyed) ([]api.Lease, error) {
		return s.release(ctx, in.Owned, q)
	}, func(note *keyNote) (leases []api.Lease, err error) {
		err = json.Unmarshal(note.Answer, &leases)
		return leases, err
	})
	if err != nil {
		return nil, err
	}
	return &reply[[]api.Lease]{released}, nil
}

func (s *Server) release(ctx context.Context, which Owned, q *keyed) ([]api.Lease, error) {
	for try := 1; ; try++ {
		released := []api.Lease{}
		var ids []lease.ID
		for _, l := range s.opts.Leases.Leases() {
			if which.has(l) {
				released, ids = append(released, apiLease(l)), append(ids, l.ID)
			}
		}
		if len(ids) == 0 {
			return released, nil
		}
		var extra store.Batch
		if q != nil {
			answer, err := json.Marshal(released)
			if err != nil {
				return nil, err
			}
			extra = q.record(keyNote{Answer: answer})
		}
		err := s.opts.Leases.Recuperate(ctx, ids, extra)
		changed := errors.Is(err, lease.ErrLeaseNotFound) || errors.Is(err, lease.ErrLeaseChanged)
		if err == nil {
			return released, nil
		}
		if !changed || try == maxEndings {
			return nil, err
		}
	}
}
