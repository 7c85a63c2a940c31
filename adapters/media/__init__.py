"""Shared media wire layer: RTP, SDP and NAL units, sans-IO."""
