# The audit bucket cannot be bent, and no secret is in the state.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_resource "aws_s3_bucket" {
    defaults = {
      bucket_region               = "eu-central-1"
      bucket_regional_domain_name = "sluice-audit-example.s3.eu-central-1.amazonaws.com"
    }
  }
}

variables {
  bucket_name    = "sluice-audit-example"
  redis_url      = "rediss://:not-a-password@redis.example.internal:6379"
  openai_api_key = "sk-not-a-key"
}

run "the_application_is_told_of_its_bucket" {
  assert {
    condition = output.spin_variables == {
      sluice_records_url       = "https://sluice-audit-example.s3.eu-central-1.amazonaws.com"
      sluice_records_region    = "eu-central-1"
      sluice_records_retention = "compliance 2555d"
    }
    error_message = "The variables are not those that the application reads."
  }

  assert {
    condition     = keys(output.spin_secrets) == ["SPIN_VARIABLE_OPENAI_API_KEY", "SPIN_VARIABLE_SLUICE_STORE"]
    error_message = "A secret is missing."
  }
}

run "an_address_that_is_no_redis_is_refused" {
  command = plan

  variables {
    redis_url = "http://redis.example.internal"
  }

  expect_failures = [var.redis_url]
}
