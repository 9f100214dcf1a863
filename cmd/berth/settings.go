package main

import (
	"context"

	"berth/conf"
	"berth/launcher"
)

// processSettings are the settings as the launcher reads them.
type processSettings struct{ *conf.Settings }

var _ launcher.Settings = processSettings{}

// ProcessProperties returns what a process of these categories is given.
func (s processSettings) ProcessProperties(ctx context.Context, categories []string) ([]launcher.Property, error) {
	all, err := s.Settings.ProcessProperties(ctx, categories)
	if err != nil {
		return nil, err
	}
	return namesAndValues(all), nil
}

// ServerProperties returns what is set for the server itself.
func (s processSettings) ServerProperties(ctx context.Context) ([]launcher.Property, error) {
	all, err := s.Properties(ctx, conf.Selection{Scope: conf.Server})
	if err != nil {
		return nil, err
	}
	return namesAndValues(all), nil
}

func namesAndValues(all []conf.Property) []launcher.Property {
	properties := make([]launcher.Property, 0, len(all))
	for _, p := range all {
		properties = append(properties, launcher.Property{Name: p.Name, Value: p.Value})
	}
	return properties
}
