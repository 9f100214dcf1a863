package descriptor

import "slices"

// Names are the names that an element of each sort of file may have: its
// attributes, its elements, and "text" where that is its value.
func Names() map[string]map[string][]string {
	all := map[string]map[string][]string{}
	for _, of := range []document{corusXML, magnetXML, execXML} {
		all[of.root] = map[string][]string{}
		for tag, s := range of.shapes {
			names := slices.Concat(s.attributes, s.children)
			if s.text {
				names = append(names, "text")
			}
			slices.Sort(names)
			all[of.root][tag] = slices.Compact(names)
		}
	}
	ignored := []string{}
	for key := range ignoredAppKeys {
		ignored = append(ignored, key)
	}
	all["apps"] = map[string][]string{
		"file": slices.Sorted(slices.Values(fileKeys)),
		"app":  slices.Sorted(slices.Values(slices.Concat(appKeys, ignored))), "health_check": slices.Sorted(slices.Values(healthKeys)),
	}
	return all
}
