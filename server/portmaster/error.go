package portmaster

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// refusal is an error as Django REST framework tells it: messages by field, a
// list of messages, or a detail.
type refusal struct {
	status int
	body   any
}

var _ huma.StatusError = (*refusal)(nil)

func (r *refusal) Error() string                { return fmt.Sprint(r.body) }
func (r *refusal) GetStatus() int               { return r.status }
func (r *refusal) MarshalJSON() ([]byte, error) { return json.Marshal(r.body) }

// messages are what is wrong with a request, by field.
type messages map[string][]string

// whole is the field of what is wrong with several fields together.
const whole = "non_field_errors"

// detail is what is wrong where that is not the request's body.
type detail struct {
	Detail string `json:"detail"`
}

// notFound is the answer for what is not there.
func notFound() error { return &refusal{http.StatusNotFound, detail{"Not found."}} }

// wrong is the answer for a body of which one field is wrong.
func wrong(field, format string, args ...any) error {
	return &refusal{http.StatusBadRequest, messages{field: {fmt.Sprintf(format, args...)}}}
}
