package catalog

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/apache/iceberg-go/catalog/glue"
	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go"
)

// GlueConfig says which AWS Glue Data Catalog holds the tables. Credentials are
// those that the AWS SDK finds.
type GlueConfig struct {
	Region   string // what the AWS SDK finds if empty
	Endpoint string // AWS's own if empty
	ID       string // account id of the catalog; the caller's account if empty
}

func openGlue(ctx context.Context, cfg Config) (*Catalog, error) {
	if strings.Contains(cfg.Namespace, ".") || strings.ToLower(cfg.Namespace) != cfg.Namespace {
		return nil, &ConfigError{Text: fmt.Sprintf("catalog.namespace %q cannot be a database of Glue: it has one level, in lower case", cfg.Namespace)}
	}
	options := []func(*awsconfig.LoadOptions) error{
		awsconfig.WithRetryer(func() aws.Retryer { return onlyReads{retry.NewStandard()} }),
		awsconfig.WithHTTPClient(awshttp.NewBuildableClient().WithTimeout(answerTimeout)),
	}
	if cfg.Glue.Region != "" {
		options = append(options, awsconfig.WithRegion(cfg.Glue.Region))
	}
	if cfg.Glue.Endpoint != "" {
		options = append(options, awsconfig.WithBaseEndpoint(cfg.Glue.Endpoint))
	}
	loaded, err := awsconfig.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, &ConfigError{Text: "the AWS configuration cannot be read", Err: err}
	}
	if loaded.Region == "" {
		return nil, &ConfigError{Text: "catalog.glue.region is not set, and the AWS configuration has no region: set it"}
	}
	if _, err := loaded.Credentials.Retrieve(ctx); err != nil {
		return nil, &ConfigError{Text: "no AWS credentials are found for Glue: set what the AWS SDK reads (environment, ~/.aws, role of the machine)", Err: err}
	}
	properties := glue.AwsProperties{"warehouse": cfg.Warehouse}
	if cfg.Glue.ID != "" {
		properties[glue.CatalogIdKey] = cfg.Glue.ID
	}
	ice, err := glue.NewCatalog(glue.WithAwsConfig(loaded), glue.WithAwsProperties(properties))
	if err != nil {
		return nil, &ConfigError{Text: "the Glue catalog cannot be opened", Err: err}
	}
	return &Catalog{cfg: cfg, ice: ice, close: ice.Close, judge: judgeGlue}, nil
}

// onlyReads is the SDK's retrying without what changes something: a change whose
// answer was lost would be sent again, and meet its own trace as a conflict.
type onlyReads struct{ *retry.Standard }

var errNotAgain = errors.New("not sent again: it changes something")

// GetRetryToken implements aws.Retryer.
func (r onlyReads) GetRetryToken(ctx context.Context, err error) (func(error) error, error) {
	if !strings.HasPrefix(awsmiddleware.GetOperationName(ctx), "Get") {
		return nil, errNotAgain
	}
	return r.Standard.GetRetryToken(ctx, err)
}

// judgeGlue tells what Glue's errors mean. Those are definite that come before
// anything is done; all others say nothing, whatever their status.
func judgeGlue(err error) (Outcome, error, bool) {
	var operation *smithy.OperationError
	var api smithy.APIError
	if !errors.As(err, &operation) || operation.Service() != "Glue" {
		return 0, err, false
	}
	if !errors.As(err, &api) {
		if neverSent(err) {
			return OutcomeRetry, fmt.Errorf("AWS Glue cannot be reached: check the network, catalog.glue.region and catalog.glue.endpoint: %w", err), true
		}
		return 0, err, false
	}
	switch code := api.ErrorCode(); code {
	case "AccessDeniedException", "UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException", "ExpiredToken", "RequestExpired", "OptInRequired", "NotAuthorized",
		"IncompleteSignatureException", "MissingAuthenticationTokenException", "InvalidClientTokenId", "SignatureDoesNotMatch":
		return OutcomeRefused, &ConfigError{Text: "AWS Glue denies access: correct the AWS credentials, and allow them glue:GetDatabase, GetTable, UpdateTable " +
			"(for init also CreateDatabase, CreateTable)", Err: plainError(code + ": " + api.ErrorMessage()), Access: true}, true
	case "ConcurrentModificationException", "EntityNotFoundException", "AlreadyExistsException", "ResourceNotReadyException",
		"ThrottlingException", "TooManyRequestsException":
		return OutcomeRetry, err, true
	case "InvalidInputException", "ValidationException", "ValidationError", "MalformedHttpRequestException", "RequestEntityTooLargeException",
		"UnknownOperationException", "ResourceNumberLimitExceededException", "GlueEncryptionException":
		return OutcomeRefused, fmt.Errorf("AWS Glue refuses the request: %w", err), true
	}
	// Not OperationTimeoutException, RequestTimeoutException, RequestAbortedException or
	// FederationSourceException either: what they were about may have been done.
	return 0, err, false
}
