package server

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"berth/access"
	"berth/api"
	"berth/launcher"
)

func (s *Server) routeDiagnoses(routes huma.API) {
	route(s, routes, access.Read, huma.Operation{
		OperationID: "diagnose-processes", Method: http.MethodGet, Path: "/v1/diagnoses",
		Summary: "Ask processes how they are, each as its descriptor says",
	}, s.diagnoseProcesses)
}

func (s *Server) diagnoseProcesses(ctx context.Context, in *struct {
	Distribution string `query:"distribution" doc:"a name, or a pattern with *"`
	Version      string `query:"version" doc:"a version, or a pattern with *"`
	Name         string `query:"name" doc:"a process name, or a pattern with *"`
	Profile      string `query:"profile" doc:"a profile, or a pattern with *"`
	IDs          []int  `query:"id,explode" doc:"exact; one that is not there is an error"`
}) (*reply[[]api.Diagnosis], error) {
	found, err := s.opts.Processes.Diagnose(ctx, launcher.Selector{
		IDs: in.IDs, Distribution: in.Distribution, Version: in.Version, Name: in.Name, Profile: in.Profile,
	})
	if err != nil {
		return nil, err
	}
	return &reply[[]api.Diagnosis]{list(found, apiDiagnosis)}, nil
}

func apiDiagnosis(d launcher.Diagnosis) api.Diagnosis {
	return api.Diagnosis{
		Process: d.Process.ID, Distribution: d.Process.Distribution, Version: d.Process.Version,
		Profile: d.Process.Profile, Name: d.Process.Name, PID: d.Process.Identity.PID,
		Range: d.Port.Range, Port: d.Port.Number, URL: d.URL, Result: string(d.Result), Code: d.Code,
		Milliseconds: float64(d.Took.Round(time.Microsecond)) / float64(time.Millisecond),
		Reason:       d.Reason, GraceEnds: d.GraceEnds,
	}
}
