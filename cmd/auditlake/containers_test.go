package main

import (
	"encoding/json"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/internal/part"
)

// compose.yaml loads as `docker compose` loads it, and the configuration that it
// mounts loads as the binary loads it, with the environment it gives.
func TestDeployCompose(t *testing.T) {
	out := tool(t, filepath.Join(part.Dir("compose-check"), "compose-check"), ".ci/parts/compose-check", "compose.yaml")
	var project struct {
		Services map[string]struct {
			Command     []string
			Environment map[string]string
			GracePeriod string `json:"stop_grace_period"`
			ReadOnly    bool   `json:"read_only"`
			Restart     string
			Ports       []struct {
				HostIP string `json:"host_ip"`
				Target int
			}
			Volumes []struct{ Source, Target string }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(out), &project))
	sink := project.Services["sink"]
	require.NotEmpty(t, sink.Volumes)
	require.Equal(t, "/etc/auditlake/auditlake.yaml", sink.Environment["AUDITLAKE_CONFIG"])
	require.Equal(t, sink.Environment["AUDITLAKE_CONFIG"], sink.Volumes[0].Target)
	require.Equal(t, "compose.auditlake.yaml", filepath.Base(sink.Volumes[0].Source))
	cfg := deployedConfig(t, readFile(t, deployed+"/compose.auditlake.yaml"), sink.Environment)
	grace, err := time.ParseDuration(sink.GracePeriod)
	require.NoError(t, err)
	require.Greater(t, grace, shutdown(cfg))
	require.True(t, strings.HasPrefix(sink.Restart, "on-failure:"), "2 must not be tried for ever")
	require.True(t, sink.ReadOnly)
	for name, s := range project.Services {
		for _, p := range s.Ports {
			require.Equal(t, "127.0.0.1", p.HostIP, name)
		}
	}
	// The parts that the configuration names are there.
	require.Contains(t, project.Services["kafka"].Environment["KAFKA_ADVERTISED_LISTENERS"], "INSIDE://"+cfg.Kafka.Brokers[0])
	require.Contains(t, project.Services["topic"].Command, "--topic="+cfg.Kafka.Topics[0])
	require.Contains(t, strings.Join(project.Services["bucket"].Command, " "), cfg.S3.Endpoint)
	require.Equal(t, project.Services["s3"].Environment["ROOT_ACCESS_KEY"], cfg.S3.AccessKeyID)
	require.Contains(t, cfg.Catalog.URI, "@postgres:5432/"+project.Services["postgres"].Environment["POSTGRES_DB"])

	tool(t, filepath.Join(part.Dir("manifests"), "bin/hadolint"), ".ci/parts/manifests", "Dockerfile")
}

// probe is an HTTP probe of a container.
type httpProbe struct {
	HTTPGet        struct{ Path, Port string } `yaml:"httpGet"`
	TimeoutSeconds int                         `yaml:"timeoutSeconds"`
}

// manifest is what is looked at of a Kubernetes object.
type manifest struct {
	Kind     string
	Metadata struct{ Name, Namespace string }
	Data     map[string]string
	Secrets  map[string]string `yaml:"stringData"`
	Spec     struct {
		Selector struct {
			MatchLabels map[string]string `yaml:"matchLabels"`
		}
		Template struct {
			Metadata struct{ Labels map[string]string }
			Spec     struct {
				Grace      int `yaml:"terminationGracePeriodSeconds"`
				Containers []struct {
					Args           []string
					StartupProbe   httpProbe `yaml:"startupProbe"`
					LivenessProbe  httpProbe `yaml:"livenessProbe"`
					ReadinessProbe httpProbe `yaml:"readinessProbe"`
					Ports          []struct {
						Name string
						Port int `yaml:"containerPort"`
					}
				}
			}
		}
	}
}

func TestDeployKubernetes(t *testing.T) {
	tool(t, filepath.Join(part.Dir("manifests"), "bin/kubernetes-validate"), ".ci/parts/manifests",
		"--strict", "-k", "1.37", "kubernetes/auditlake.yaml", "kubernetes/init.yaml")
	objects := map[string]manifest{}
	for _, file := range []string{"auditlake.yaml", "init.yaml"} {
		decoder := yaml.NewDecoder(strings.NewReader(readFile(t, deployed+"/kubernetes/"+file)))
		for {
			var m manifest
			err := decoder.Decode(&m)
			if err == io.EOF { //nolint:errorlint // as the decoder says it
				break
			}
			require.NoError(t, err)
			objects[m.Kind] = m
		}
	}
	cfg := deployedConfig(t, objects["ConfigMap"].Data["auditlake.yaml"], objects["Secret"].Secrets)
	pod := objects["Deployment"].Spec.Template
	sink := pod.Spec.Containers[0]
	require.Greater(t, time.Duration(pod.Spec.Grace)*time.Second, shutdown(cfg))
	require.Equal(t, "/healthz", sink.LivenessProbe.HTTPGet.Path)
	require.Equal(t, "/healthz", sink.StartupProbe.HTTPGet.Path)
	require.Equal(t, "/readyz", sink.ReadinessProbe.HTTPGet.Path)
	require.Greater(t, time.Duration(sink.ReadinessProbe.TimeoutSeconds)*time.Second, probeTimeout)
	require.Equal(t, "metrics", sink.Ports[0].Name)
	require.Equal(t, "0.0.0.0:9464", cfg.Metrics.Listen)
	require.Equal(t, 9464, sink.Ports[0].Port)
	for _, selector := range []map[string]string{objects["Deployment"].Spec.Selector.MatchLabels, objects["PodDisruptionBudget"].Spec.Selector.MatchLabels} {
		require.Equal(t, pod.Metadata.Labels, selector)
	}
	require.NotEqual(t, pod.Metadata.Labels, objects["Job"].Spec.Template.Metadata.Labels, "the job is no replica")
	for kind, verb := range map[string]string{"Deployment": "run", "Job": "init"} {
		args := objects[kind].Spec.Template.Spec.Containers[0].Args
		root := newRoot(&app{})
		found, _, err := root.Find(args)
		require.NoError(t, err)
		require.Equal(t, verb, found.Name())
		require.NoError(t, root.PersistentFlags().Parse(args))
	}
}
