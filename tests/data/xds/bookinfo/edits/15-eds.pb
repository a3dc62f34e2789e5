
2026-11-23T17:53:24Z/6¦u
Btype.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment/
-outbound|9080||late.default.svc.cluster.local-outbound|9080||late.default.svc.cluster.local¦u
Btype.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment/
-outbound|9999||late.default.svc.cluster.local-outbound|9999||late.default.svc.cluster.local"Btype.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment*:2026-11-23T17:53:24Z/659790c05-5833-4d32-9890-59754da77f1e