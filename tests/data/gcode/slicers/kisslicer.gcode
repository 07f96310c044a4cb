; KISSlicer - FREE
; Linux
; version 1.6.3 Release Linux64
; Built: May  4 2018, 18:10:35
; Running on 4 cores
;
; Saved: 2026-11-21 16:42:35
; 'part.gcode'
;
; *** Printer Settings ***
;
; printer_name = Made One
; cost_per_hour = 0
; ext_gain_1 = 1
;
; *** Material Settings for Extruder 1 ***
;
; material_name = Made PLA
; temperature_C = 210
; first_layer_C = 215
; bed_C = 60
; fiber_dia_mm = 1.75
;
; *** Style Settings ***
;
; max_layer_thickness_mm = 0.2
; first_layer_thickness_mm = 0.3
; extrusion_width_mm = 0.5
;
; *** G-code Prefix ***
;
M140 S60
M104 S150
G28
M190 S60
M109 S215
G90
M82
G92 E0
; BEGIN_LAYER_OBJECT z=0.30
; 'Perimeter Path', 0.0 [feed mm/s], 0.2 [head mm/s]
G1 Z0.30 F600
G0 X50 Y50 F6000
G1 X70 Y50 E0.66 F1800
G1 X70 Y70 E1.32 F1800
G1 X50 Y70 E1.98 F1800
G1 X50 Y50 E2.64 F1800
; BEGIN_LAYER_OBJECT z=0.50
; 'Perimeter Path', 0.0 [feed mm/s], 0.2 [head mm/s]
G1 Z0.50 F600
G0 X50 Y50 F6000
G1 X70 Y50 E3.30 F1800
G1 X70 Y70 E3.96 F1800
G1 X50 Y70 E4.62 F1800
G1 X50 Y50 E5.28 F1800
; BEGIN_LAYER_OBJECT z=0.70
; 'Perimeter Path', 0.0 [feed mm/s], 0.2 [head mm/s]
G1 Z0.70 F600
G0 X50 Y50 F6000
G1 X70 Y50 E5.94 F1800
G1 X70 Y70 E6.60 F1800
G1 X50 Y70 E7.26 F1800
G1 X50 Y50 E7.92 F1800
M104 S0
M140 S0
M84
; END_LAYER_OBJECT z=0.70
;
; Estimated Build Time:   61.00 minutes
; Calculated-during-export Build Time: 62.05 minutes
; Estimated Build Volume: 0.02 cm^3
; Estimated Build Cost:   $0.12
;
;    Ext #1  =      7.92 mm  (0.019 cm^3)
