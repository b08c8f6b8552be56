output "stack" {
  description = "what the stack tells of itself: its queues, roles, bucket and the rest"
  value       = aws_cloudformation_stack.covalent.outputs
}
