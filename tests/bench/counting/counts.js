// What has been counted so far.
export const counts = { calls: 0, commands: {}, bytesIn: 0, bytesOut: 0, alarms: 0, reads: 0, commits: 0, rowsWritten: 0 };
